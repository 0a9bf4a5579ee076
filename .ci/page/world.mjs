// What every test here uses: a gateway, the program's demo, behind a proxy, and a real browser.
// Usage: WEIGHBRIDGE=path/to/weighbridge node --test --test-concurrency=1 *.test.mjs
// In Firefox: BROWSER=firefox. Other programs than the system's: CHROMIUM=PATH, FIREFOX=PATH.
// One test: node --test --test-name-pattern=NAME *.test.mjs. The last lines count: `# pass` and `# fail`.
// SCREENSHOTS=FOLDER keeps pictures, in Chromium: in Firefox the driver adds styles for them, which the policy forbids.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'

import { closeAll, launch } from './browsers.mjs'
import { startProxy } from './proxy.mjs'

export const folder = mkdtempSync(join(tmpdir(), 'page-'))
export const downloads = join(folder, 'downloads')
export const MB = 1_000_000
export const shots = process.env.SCREENSHOTS
/** A CI machine is slow. */
export const LONG = 60_000
export let demo
export let proxy
export let browser
const data = join(folder, 'demo')
let gateway
let count = 0

/** Asks until the answer is true. */
export async function until(question, what) {
  for (const end = Date.now() + LONG; !await question(); await pause(100)) assert.ok(Date.now() < end, what)
}

export async function startGateway(listen) {
  const file = join(data, 'demo.json')
  rmSync(file, { force: true })
  gateway = spawn(process.env.WEIGHBRIDGE, ['demo', '--data', data, '--listen', listen], { stdio: 'ignore' })
  const isUp = () => {
    assert.equal(gateway.exitCode, null, 'the gateway has ended')
    try {
      demo = JSON.parse(readFileSync(file, 'utf8'))
      return true
    } catch {
      return false
    }
  }
  await until(isUp, 'the gateway does not come up')
}

export async function killGateway() {
  if (!gateway || gateway.exitCode !== null || gateway.signalCode !== null) return
  const ended = once(gateway, 'exit')
  gateway.kill('SIGKILL')
  await ended
}

before(async () => {
  assert.ok(process.env.WEIGHBRIDGE, 'WEIGHBRIDGE names the program')
  if (shots) mkdirSync(shots, { recursive: true })
  await startGateway('127.0.0.1:0')
  proxy = await startProxy(demo.url)
  browser = await launch({ downloads })
})
afterEach(() => proxy.reset())
after(async () => {
  await closeAll(browser)
  proxy?.close()
  await killGateway()
  rmSync(folder, { recursive: true, force: true })
})

/** A test in which so many bytes pass in a second. */
export const slowly = (perSecond, run) => (context) => {
  proxy.settings.perSecond = perSecond
  return run(context)
}

/** The address of a link's page, through the proxy. */
export const through = ({ url }) => `${proxy.origin}${new URL(url).pathname}/`
export const acme = () => through(demo.links.acme)

/** A request of the staff's API. */
export async function staff(method, path, body) {
  const answer = await fetch(`${demo.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${demo.staff_token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.status === 204 ? null : answer.json()
}

const rights = ['upload', 'list', 'remove', 'open-ticket', 'escalate']
export const makeLink = async (ticket, limits = {}) =>
  through(await staff('POST', '/links', { partner: 'acme', ticket, rights, ...limits }))

/** What support asked for on a ticket and has not received. */
const missing = async (ticket) => (await staff('GET', `/tickets/${ticket}/asks`)).asks.filter((each) => !each.upload_id)

/** A ticket that waits for the first of two files; the second, which has this name, has arrived. Returns a link for it. */
export async function waiting(ticket, wanted, name) {
  for (const { id } of await missing(ticket)) await staff('DELETE', `/tickets/${ticket}/asks/${id}`)
  const { asks } = await staff('POST', `/tickets/${ticket}/asks`, { wanted })
  const link = await makeLink(ticket)
  const sent = await fetch(link + name, { method: 'PUT', body: randomBytes(50) })
  assert.ok(sent.ok, `${name}: ${sent.status}`)
  const open = await missing(ticket)
  assert.deepEqual(open.map((each) => each.wanted), wanted.slice(0, 1))
  return { link, missing: open[0].id, arrived: asks.find((each) => !each.upload_id && each.wanted === wanted[1]).id }
}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

/** A file with random contents and a name of its own. */
export function make(size, name = `file-${(count += 1)}.bin`) {
  const bytes = randomBytes(size)
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return { path, name, bytes, sha256: sha256(bytes) }
}

export const received = async () =>
  (await (await fetch(`${acme()}uploads`, { headers: { accept: 'application/json' } })).json()).uploads
