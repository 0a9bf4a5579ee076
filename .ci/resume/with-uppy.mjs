// Uppy, unchanged, in a browser, on a page of another origin than the gateway's: 25 MB are interrupted on their way, and
// Uppy resumes by itself. Once its network goes away, once the gateway is killed (-9) and started again, once with a length
// that is told last.
// Usage: node with-uppy.mjs WEIGHBRIDGE FOLDER
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { chromium } from 'playwright-core'

const [program, folder] = process.argv.slice(2)
const bundle = createRequire(import.meta.url).resolve('uppy/dist/uppy.min.js')
const data = join(folder, 'uppy')
const SIZE = 25_000_000
// What the browser may send a second: there is time to interrupt it.
const PER_SECOND = 8_000_000
const INTERRUPTED_AT = 14_000_000

let gateway
process.on('exit', () => gateway?.kill('SIGKILL'))
async function start(listen) {
  gateway = spawn(program, ['demo', '--data', data, '--listen', listen], { stdio: 'ignore' })
  const ended = once(gateway, 'exit')
  for (let looks = 0; looks < 300; looks += 1) {
    if (existsSync(join(data, 'demo.json'))) return JSON.parse(readFileSync(join(data, 'demo.json'), 'utf8'))
    assert.equal(await Promise.race([ended.then(() => 'ended'), pause(200)]), undefined, 'the gateway ended')
  }
  throw new Error('the gateway does not come up')
}

async function kill() {
  const ended = once(gateway, 'exit')
  gateway.kill('SIGKILL')
  await ended
}

const demo = await start('127.0.0.1:0')
const endpoint = `${demo.links.acme.url}/uploads`

// The page: an input for a file, and Uppy.
const site = createServer((request, response) => {
  if (request.url === '/uppy.js') {
    response.setHeader('content-type', 'text/javascript')
    createReadStream(bundle).pipe(response)
  } else {
    response.setHeader('content-type', 'text/html')
    response.end('<!doctype html><title>t</title><input type="file"><script src="/uppy.js"></script>')
  }
})
await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve))

// The way from the browser to the gateway, which can be cut: what the browser calls offline ends no request under way.
const pairs = new Set()
const relay = createTcpServer((near) => {
  const { hostname, port } = new URL(demo.url)
  const pair = [near, connect(Number(port), hostname)]
  pairs.add(pair)
  near.pipe(pair[1]).pipe(near)
  for (const socket of pair) {
    socket.on('error', () => {})
    socket.on('close', () => { pair.forEach((each) => each.destroy()); pairs.delete(pair) })
  }
})
await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve))

// Runs in the page: sends the chosen file; answers its address, or what went wrong.
function send({ endpoint, options }) {
  const [file] = document.querySelector('input').files
  const uppy = new window.Uppy.Uppy()
  uppy.use(window.Uppy.Tus, { endpoint, retryDelays: [500, 1000, 2000, 4000, 8000], ...options })
  uppy.on('upload-progress', (_, { bytesUploaded }) => { window.sent = bytesUploaded })
  uppy.addFile({ name: file.name, type: file.type, data: file })
  return uppy.upload().then(({ successful, failed }) => ({
    url: successful[0]?.uploadURL,
    error: failed.map((each) => String(each.error)).join(),
  }))
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
    `--host-resolver-rules=MAP ${new URL(demo.url).host} 127.0.0.1:${relay.address().port}`],
})

async function upload(name, options, interrupt) {
  const bytes = randomBytes(SIZE)
  const path = join(folder, name)
  writeFileSync(path, bytes)
  const context = await browser.newContext()
  const page = await context.newPage()
  const network = await context.newCDPSession(page)
  const limit = (offline) => network.send('Network.emulateNetworkConditions',
    { offline, latency: 0, downloadThroughput: -1, uploadThroughput: PER_SECOND })
  const told = []
  page.on('response', (response) => {
    const offset = response.request().method() === 'HEAD' && response.headers()['upload-offset']
    if (offset) told.push(Number(offset))
  })
  await page.goto(`http://127.0.0.1:${site.address().port}/`)
  assert.notEqual(new URL(page.url()).origin, new URL(endpoint).origin)
  await network.send('Network.enable')
  await limit(false)
  await page.locator('input').setInputFiles(path)
  const sending = page.evaluate(send, { endpoint, options })
  await page.waitForFunction((at) => window.sent > at, INTERRUPTED_AT, { polling: 20 })
  await interrupt(limit)
  const { url, error } = await sending
  assert.ok(url, `${name}: ${error}`)
  const receipt = await (await fetch(url, { headers: { accept: 'application/json' } })).json()
  assert.equal(receipt.sha256, createHash('sha256').update(bytes).digest('hex'), name)
  assert.equal(receipt.size, SIZE)
  assert.equal(receipt.name, name)
  await context.close()
  return told
}

async function goOffline(limit) {
  await limit(true)
  for (const pair of pairs) pair.forEach((socket) => socket.destroy())
  await pause(1500)
  await limit(false)
}

async function killAndRestart() {
  await kill()
  await start(new URL(demo.url).host)
}

const wentOn = []
try {
  for (const [name, options, interrupt] of [
    ['offline.bin', {}, goOffline],
    ['killed.bin', {}, killAndRestart],
    ['deferred.bin', { uploadLengthDeferred: true, chunkSize: 6_000_000 }, goOffline],
  ]) {
    const told = await upload(name, options, interrupt)
    assert.ok(told.at(-1) > 0, `${name} resumed from ${told}`)
    wentOn.push(`${name} at ${told.at(-1)}`)
  }
  console.log(`resumed: ${wentOn.join(', ')}`)
} finally {
  await browser.close()
  site.close()
  relay.close()
  await kill()
}
