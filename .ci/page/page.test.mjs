// The upload page of a real gateway, the program's demo, in a real Chromium.
// Usage: WEIGHBRIDGE=path/to/weighbridge node --test page.test.mjs
// One test: node --test --test-name-pattern=NAME page.test.mjs. The last lines count: `# pass` and `# fail`.
// SCREENSHOTS=FOLDER keeps pictures.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'

import { launch, launchWithProfile } from './chromium.mjs'
import { startProxy } from './proxy.mjs'

const folder = mkdtempSync(join(tmpdir(), 'page-'))
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const MB = 1_000_000
const shots = process.env.SCREENSHOTS
const data = join(folder, 'demo')
/** A CI machine is slow. */
const LONG = 60_000
let gateway
let demo
let proxy
let browser
let count = 0

/** Asks until the answer is true. */
async function until(question, what) {
  for (const end = Date.now() + LONG; !await question(); await pause(100)) assert.ok(Date.now() < end, what)
}

async function startGateway(listen) {
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

async function killGateway() {
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
  browser = await launch()
})
afterEach(() => proxy.reset())
after(async () => {
  await browser?.close()
  proxy?.close()
  await killGateway()
  rmSync(folder, { recursive: true, force: true })
})

/** The address of a link's page, through the proxy. */
const through = ({ url }) => `${proxy.origin}${new URL(url).pathname}/`
const acme = () => through(demo.links.acme)

/** A request of the staff's API. */
async function staff(method, path, body) {
  const answer = await fetch(`${demo.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${demo.staff_token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.status === 204 ? null : answer.json()
}

const rights = ['upload', 'list', 'remove', 'open-ticket', 'escalate']
const makeLink = async (ticket, limits = {}) =>
  through(await staff('POST', '/links', { partner: 'acme', ticket, rights, ...limits }))

/** What support asked for on a ticket and has not received. */
const missing = async (ticket) => (await staff('GET', `/tickets/${ticket}/asks`)).asks.filter((each) => !each.upload_id)

/** A ticket that waits for the first of two files; the second, which has this name, has arrived. Returns a link for it. */
async function waiting(ticket, wanted, name) {
  for (const { id } of await missing(ticket)) await staff('DELETE', `/tickets/${ticket}/asks/${id}`)
  const { asks } = await staff('POST', `/tickets/${ticket}/asks`, { wanted })
  const link = await makeLink(ticket)
  const sent = await fetch(link + name, { method: 'PUT', body: randomBytes(50) })
  assert.ok(sent.ok, `${name}: ${sent.status}`)
  const open = await missing(ticket)
  assert.deepEqual(open.map((each) => each.wanted), wanted.slice(0, 1))
  return { link, missing: open[0].id, arrived: asks.find((each) => !each.upload_id && each.wanted === wanted[1]).id }
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

/** A file with random contents and a name of its own. */
function make(size, name = `file-${(count += 1)}.bin`) {
  const bytes = randomBytes(size)
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return { path, name, bytes, sha256: sha256(bytes) }
}

/** A page of a link, with every violation of its policy and every error noted. */
async function open({ context, link = acme(), ...options } = {}) {
  const own = context ?? await browser.newContext({ viewport: { width: 900, height: 1000 }, locale: 'en-GB', ...options })
  own.setDefaultTimeout(LONG)
  const page = await own.newPage()
  const faults = []
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(String(error.stack)))
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url())
    if (origin !== proxy.origin && protocol !== 'blob:') faults.push(`went to ${request.url()}`)
  })
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`Content Security Policy: ${event.violatedDirective}`))
  })
  const hasScript = options.javaScriptEnabled !== false
  // It exists before the page is ready, but this program may hear of it later.
  const working = hasScript ? page.waitForEvent('worker') : null
  await page.goto(link)
  if (hasScript) {
    await page.locator('form[data-ready]').waitFor()
    const worker = await working
    await worker.evaluate(() => {
      self.violations = []
      self.addEventListener('securitypolicyviolation', (event) => self.violations.push(event.violatedDirective))
    })
  }
  /** What the worker's policy forbade. A page that was opened again has another worker. */
  const inWorker = async () =>
    (await Promise.all(page.workers().map((worker) => worker.evaluate(() => self.violations ?? [])))).flat()
  const close = async () => {
    faults.push(...await inWorker())
    assert.deepEqual(faults, [])
    if (!context) await own.close()
  }
  const row = (name) => page.locator('#files > li').filter({ has: page.getByRole('heading', { name, exact: true }) })
  return {
    page, context: own, inWorker, close, row,
    choose: (...files) => page.locator('#file').setInputFiles(files.map((file) => file.path ?? file)),
    send: () => page.locator('#send-files').click(),
    state: (name, state) => page.locator(`#files > li[data-state="${state}"]`)
      .filter({ has: page.getByRole('heading', { name, exact: true }) }).waitFor(),
    act: (name, what) => row(name).locator(`[data-do="${what}"]`).click(),
    /** Until so much of it was sent. */
    reaches: (name, part) => page.waitForFunction(([id, at]) => {
      const rows = [...document.querySelectorAll('#files > li')]
      const bar = rows.find((each) => each.querySelector('h3')?.textContent === id)?.querySelector('progress')
      return bar && bar.value >= at
    }, [name, part], { polling: 50 }),
    shoot: async (title) => {
      if (!shots) return
      // The list of what was received may be long.
      const { width } = page.viewportSize()
      await page.screenshot({ path: join(shots, `${title}.png`), fullPage: true, clip: { x: 0, y: 0, width, height: 1500 } })
    },
  }
}

async function receiptOf(view, name) {
  return { sha256: await view.row(name).locator('dl.receipt .digest').textContent() }
}

const received = async () =>
  (await (await fetch(`${acme()}uploads`, { headers: { accept: 'application/json' } })).json()).uploads

/** The browser asks which files to choose; without a handle it asks by the usual dialog. */
async function rechoose(view, name, file) {
  await view.page.evaluate(() => { delete window.showOpenFilePicker })
  const asked = view.page.waitForEvent('filechooser')
  await view.act(name, 'reselect')
  await (await asked).setFiles(file.path)
}

/** The process of the browser that uses a profile. */
function browserOf(profile) {
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const line = existsSync(`/proc/${id}/cmdline`) ? readFileSync(`/proc/${id}/cmdline`, 'utf8') : ''
    if (line.includes(`--user-data-dir=${profile}`) && !line.includes('--type=')) return Number(id)
  }
  throw new Error('the browser does not run')
}

/** What the browser remembers of a file, if anything. */
const remembered = (view, name) => view.page.evaluate((name) => new Promise((resolve, reject) => {
  const opening = indexedDB.open('weighbridge')
  opening.onerror = () => reject(opening.error)
  opening.onsuccess = () => {
    const reading = opening.result.transaction('unfinished').objectStore('unfinished').getAll()
    reading.onerror = () => reject(reading.error)
    reading.onsuccess = () => {
      opening.result.close()
      resolve(reading.result.find((each) => each.fileName === name) ?? null)
    }
  }
}), name)

/** A test in which so many bytes pass in a second. */
const slowly = (perSecond, run) => (context) => {
  proxy.settings.perSecond = perSecond
  return run(context)
}

test('three files at once, and the digests are those of the receipts', async () => {
  const view = await open()
  const files = [make(10), make(3 * MB), make(25 * MB)]
  await view.choose(...files)
  await view.shoot('chosen')
  await view.send()
  for (const file of files) {
    await view.state(file.name, 'done')
    assert.match(await view.row(file.name).locator('.status').textContent(), /verified/)
    assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  }
  await view.page.getByText('has been told').nth(2).waitFor()
  const downloading = view.page.waitForEvent('download')
  await view.row(files[0].name).getByRole('button', { name: /Download the receipt/ }).click()
  const kept = JSON.parse(readFileSync(await (await downloading).path(), 'utf8'))
  assert.equal(kept.sha256, files[0].sha256)
  await view.shoot('arrived')
  await view.close()
})

test('an empty file', async () => {
  const view = await open()
  const file = make(0)
  await view.choose(file)
  await view.row(file.name).getByText('The file is empty').waitFor()
  await view.send()
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, sha256(''))
  await view.close()
})

test('a folder, with equal names in it', async () => {
  const view = await open()
  const root = join(folder, 'bundle')
  mkdirSync(join(root, 'a'), { recursive: true })
  mkdirSync(join(root, 'b'))
  const [one, two] = [randomBytes(500), randomBytes(600)]
  writeFileSync(join(root, 'a/same.log'), one)
  writeFileSync(join(root, 'b/same.log'), two)
  await view.page.locator('input[webkitdirectory]').setInputFiles(root)
  await view.page.getByText('share').or(view.page.getByText('the same name')).waitFor()
  assert.equal(await view.page.locator('.folder').count(), 2)
  await view.send()
  await view.page.locator('#files > li[data-state="done"]').nth(1).waitFor()
  const sums = (await received()).map((each) => each.sha256)
  assert.ok(sums.includes(sha256(one)) && sums.includes(sha256(two)))
  await view.close()
})

test('dropped and pasted files', async () => {
  const view = await open()
  const give = (type, name) => view.page.evaluate(([type, name]) => {
    const data = new DataTransfer()
    data.items.add(new File([`${Math.random()}`], name))
    const event = type === 'drop'
      ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
      : new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })
    document.body.dispatchEvent(event)
  }, [type, name])
  await give('drop', 'dropped.txt')
  await give('paste', 'pasted.png')
  await view.row('dropped.txt').waitFor()
  await view.row('pasted.png').waitFor()
  await view.send()
  await view.state('dropped.txt', 'done')
  await view.state('pasted.png', 'done')
  await view.close()
})

test('pause and resume', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(15 * MB)
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.3)
  await view.act(file.name, 'pause')
  await view.state(file.name, 'paused')
  const at = await view.row(file.name).locator('progress').evaluate((bar) => bar.value)
  await pause(1500)
  assert.equal(await view.row(file.name).locator('progress').evaluate((bar) => bar.value), at)
  await view.shoot('paused')
  await view.act(file.name, 'resume')
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

test('a reload in the middle: the file is chosen again, another one is refused', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.4)
  let warned = false
  view.page.on('dialog', (dialog) => { warned = dialog.type() === 'beforeunload'; void dialog.accept() })
  // Chromium warns only on pages that somebody has used.
  await view.page.mouse.click(5, 5)
  await view.page.reload()
  assert.ok(warned, 'no warning before leaving')
  await view.state(file.name, 'missing')
  await view.reaches(file.name, 0.1)
  await view.shoot('missing')

  const other = join(folder, 'other')
  mkdirSync(other, { recursive: true })
  const mtime = new Date(Math.round(Date.now() / 1000) * 1000)
  const wrong = { path: join(other, file.name) }
  writeFileSync(wrong.path, Buffer.alloc(19 * MB))
  await rechoose(view, file.name, wrong)
  await view.row(file.name).getByText('another size').waitFor()
  writeFileSync(wrong.path, Buffer.alloc(20 * MB))
  utimesSync(wrong.path, mtime, mtime)
  await rechoose(view, file.name, wrong)
  await view.row(file.name).getByText('was changed since').waitFor()
  const { mtimeMs } = statSync(file.path)
  utimesSync(wrong.path, mtimeMs / 1000, mtimeMs / 1000)
  await rechoose(view, file.name, wrong)
  await view.row(file.name).getByText('other contents').waitFor()
  await rechoose(view, file.name, make(1000))
  await view.row(file.name).getByText('This is another file').waitFor()
  await view.shoot('refused')

  await rechoose(view, file.name, file)
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

test('a reload in the middle: one click where the browser keeps a handle', slowly(6 * MB, async () => {
  const view = await open()
  await view.page.evaluate(async () => {
    const root = await navigator.storage.getDirectory()
    const handle = await root.getFileHandle('kept.bin', { create: true })
    const writable = await handle.createWritable()
    await writable.write(crypto.getRandomValues(new Uint8Array(65536)))
    await writable.write(new Uint8Array(14_000_000).fill(Math.random() * 250))
    await writable.close()
    window.showOpenFilePicker = async () => [handle]
  })
  await view.page.locator('#choose-files').click()
  await view.row('kept.bin').waitFor()
  await view.send()
  await view.reaches('kept.bin', 0.4)
  view.page.on('dialog', (dialog) => void dialog.accept())
  await view.page.reload()
  await view.state('kept.bin', 'missing')
  await view.act('kept.bin', 'continue')
  await view.state('kept.bin', 'done')
  await view.close()
}))

test('the browser is killed and opened again', slowly(6 * MB, async (context) => {
  const profile = join(folder, 'profile')
  const file = make(20 * MB)
  const first = await launchWithProfile(profile)
  context.after(() => first.close().catch(() => {}))
  const view = await open({ context: first })
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.4)
  await until(async () => {
    const kept = await remembered(view, file.name)
    return kept?.uploadId && kept.ends
  }, 'nothing is remembered')
  const gone = new Promise((resolve) => first.on('close', resolve))
  process.kill(browserOf(profile), 'SIGKILL')
  await gone
  const second = await launchWithProfile(profile)
  context.after(() => second.close())
  const again = await open({ context: second })
  await again.state(file.name, 'missing')
  await rechoose(again, file.name, file)
  await again.state(file.name, 'done')
  assert.equal((await receiptOf(again, file.name)).sha256, file.sha256)
  await again.close()
  await second.close()
}))

test('offline for five seconds, then the page continues by itself', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.3)
  void proxy.cut()
  await view.context.setOffline(true)
  await view.state(file.name, 'waiting')
  await view.row(file.name).getByText('There is no network').waitFor()
  await view.shoot('offline')
  await pause(5000)
  proxy.restore()
  await view.context.setOffline(false)
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

test('the connection is cut twice, and nobody says so', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  await view.choose(file)
  await view.send()
  for (const part of [0.2, 0.6]) {
    await view.reaches(file.name, part)
    // Until the page has tried again once.
    await proxy.cut()
    proxy.restore()
  }
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

test('the gateway is killed and started again', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.5)
  await killGateway()
  await view.state(file.name, 'waiting')
  await startGateway(new URL(demo.url).host)
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

test('bad names are said before sending, and replaced', async () => {
  const view = await open()
  const long = 'é'.repeat(128)
  const bad = ['a\\b.log', 'x\u202Egpj.exe', 'line\nbreak', '..', long]
  await view.choose(...bad.map((name) => ({ name, mimeType: '', buffer: randomBytes(20) })))
  await view.page.locator('#files > li').nth(bad.length - 1).waitFor()
  const unusable = view.page.locator('#files > li[data-state="unusable"]')
  assert.equal(await unusable.count(), bad.length)
  assert.equal(await view.page.locator('#send-files').isVisible(), false)
  await view.shoot('bad-names')
  for (let left = bad.length; left > 0; left -= 1) {
    if (left === bad.length) await unusable.first().getByRole('textbox').fill('better.log')
    await unusable.first().locator('[data-do="rename"]').click()
    await view.page.locator('#files > li[data-state="unusable"]').nth(left - 1).waitFor({ state: 'detached' })
  }
  await view.send()
  await view.page.locator('#files > li[data-state="done"]').nth(bad.length - 1).waitFor()
  const names = (await received()).map((each) => each.name)
  for (const name of ['better.log', 'xgpj.exe', 'line_break', 'file', 'é'.repeat(127)]) assert.ok(names.includes(name), name)
  await view.close()
})

test('a file that is too large is refused before it is sent', async () => {
  const view = await open({ link: await makeLink('1001', { max_bytes: 1000 }) })
  const file = make(2000)
  await view.choose(file)
  await view.state(file.name, 'unusable')
  await view.row(file.name).getByText('larger than 1 kB').waitFor()
  await view.close()
})

test('cancel leaves nothing behind', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  let address
  view.page.on('response', (response) => {
    if (response.request().method() === 'POST') address = response.headers().location
  })
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.3)
  await view.act(file.name, 'cancel')
  await view.state(file.name, 'cancelled')
  await until(async () => (await fetch(address, { method: 'HEAD' })).status === 410, 'the gateway still has it')
  await until(async () => !await remembered(view, file.name), 'the browser still remembers it')
  await view.page.reload()
  await view.page.locator('form[data-ready]').waitFor()
  assert.equal(await view.page.locator('#files > li').count(), 0)
  // Nothing of the cancelled one stands in the way.
  proxy.settings.perSecond = 0
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  await view.close()
}))

test('cancelled while paused, then chosen again on the same page', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(10 * MB)
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.2)
  await view.act(file.name, 'pause')
  await view.act(file.name, 'cancel')
  await view.state(file.name, 'cancelled')
  await view.act(file.name, 'dismiss')
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

test('the keyboard alone sends a file, pauses it and cancels it', slowly(3 * MB, async () => {
  const view = await open()
  const file = make(10 * MB)
  await view.page.evaluate(() => { delete window.showOpenFilePicker })
  const asked = view.page.waitForEvent('filechooser')
  await view.page.keyboard.press('Tab')
  await view.page.keyboard.press('Enter')
  await (await asked).setFiles(file.path)
  await view.page.locator('#send-files').waitFor()
  const focusOn = async (name) => {
    for (let tabs = 0; tabs < 20; tabs += 1) {
      if ((await view.page.evaluate(() => document.activeElement.textContent)).startsWith(name)) return
      await view.page.keyboard.press('Tab')
    }
    throw new Error(`no way to ${name} by keyboard`)
  }
  await focusOn('Send 1 file')
  await view.page.keyboard.press('Enter')
  await view.state(file.name, 'sending')
  assert.notEqual(await view.page.evaluate(() => document.activeElement.tagName), 'BODY')
  await view.page.locator('#choose-folder').focus()
  await focusOn('Pause')
  await view.page.keyboard.press('Enter')
  await view.state(file.name, 'paused')
  // The button that was pressed has gone: the focus stays in its row.
  assert.ok(await view.row(file.name).evaluate((row) => row.contains(document.activeElement)))
  await focusOn('Cancel')
  await view.page.keyboard.press('Enter')
  await view.state(file.name, 'cancelled')
  await view.close()
}))

test('two tabs with the same file take turns', slowly(6 * MB, async () => {
  const context = await browser.newContext({ locale: 'en-GB' })
  const [one, two] = [await open({ context }), await open({ context })]
  const file = make(15 * MB)
  let created = 0
  context.on('response', (response) => { if (response.request().method() === 'POST') created += 1 })
  await one.choose(file)
  await one.send()
  await one.reaches(file.name, 0.2)
  await two.choose(file)
  await two.send()
  await two.state(file.name, 'elsewhere')
  await two.shoot('elsewhere')
  await one.state(file.name, 'done')
  await two.state(file.name, 'done')
  assert.equal(created, 1)
  await one.close()
  await two.close()
  await context.close()
}))

test('the other tab continues when the first is closed', slowly(6 * MB, async () => {
  const context = await browser.newContext({ locale: 'en-GB' })
  const [one, two] = [await open({ context }), await open({ context })]
  const file = make(15 * MB)
  await one.choose(file)
  await one.send()
  await one.reaches(file.name, 0.3)
  await two.choose(file)
  await two.send()
  await two.state(file.name, 'elsewhere')
  await one.page.close()
  await two.state(file.name, 'done')
  assert.equal((await receiptOf(two, file.name)).sha256, file.sha256)
  await two.close()
  await context.close()
}))

test('a file that differs from its receipt is said to', async () => {
  const view = await open()
  const file = make(1000)
  proxy.settings.tamper = (body) => body.replaceAll(file.sha256, '0'.repeat(64))
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'differs')
  await view.shoot('differs')
  await view.close()
})

test('without WebAssembly the digest is computed all the same', async () => {
  proxy.settings.wasm = false
  const context = await browser.newContext({ locale: 'en-GB' })
  const view = await open({ context })
  const file = make(5 * MB)
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  assert.match(await view.row(file.name).locator('.status').textContent(), /verified/)
  // That policy was in the way, so the usual one is what lets WebAssembly run.
  assert.deepEqual(new Set(await view.inWorker()), new Set(['script-src']))
  await context.close()
})

test('refusals of the gateway are shown in its words', async () => {
  const view = await open({ link: through(demo.partner_links.acme) })
  const file = make(100)
  await view.choose(file)
  await view.page.locator('#ticket').fill('999999')
  await view.send()
  await view.state(file.name, 'failed')
  await view.row(file.name).getByText('No ticket with this number').waitFor()
  await view.shoot('failed')
  await view.page.locator('#ticket').fill('1001')
  await view.act(file.name, 'again')
  await view.state(file.name, 'done')
  await view.close()
})

test('a file that somebody else cancels is not begun anew without asking', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  let address
  view.page.on('response', (response) => {
    if (response.request().method() === 'POST') address = response.headers().location
  })
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.3)
  await fetch(address, { method: 'DELETE' })
  await view.state(file.name, 'failed')
  await view.row(file.name).getByText(/cancelled/).waitFor()
  await view.shoot('gone')
  proxy.settings.perSecond = 0
  await view.act(file.name, 'again')
  await view.state(file.name, 'done')
  await view.close()
}))

test('what support asked for', async () => {
  const ask = await waiting('1002', ['The server log of Monday', 'A screenshot'], 'screenshot.png')
  const view = await open({ link: ask.link })
  await view.page.locator(`#asks [data-ask="${ask.missing}"][data-arrived="false"]`).waitFor()
  await view.page.locator(`#asks [data-ask="${ask.arrived}"][data-arrived="true"]`).waitFor()
  const names = ['server-of-monday.log', 'server-of-tuesday.log', 'holiday.jpg']
  const files = names.map((name) => make(100, name))
  const chosen = (file) => view.row(file.name).getByRole('combobox')
  const said = new Map()
  view.page.on('request', (request) => {
    if (request.method() !== 'POST') return
    const fields = request.headers()['upload-metadata'].split(',').map((field) => field.trim().split(' '))
    const read = (name) => Buffer.from(fields.find(([key]) => key === name)?.[1] ?? '', 'base64').toString()
    said.set(read('filename'), read('ask'))
  })
  await view.choose(...files)
  await view.row(files[2].name).waitFor()
  assert.equal(await chosen(files[0]).inputValue(), ask.missing)
  assert.equal(await chosen(files[1]).inputValue(), ask.missing)
  assert.equal(await chosen(files[2]).inputValue(), '')
  await chosen(files[1]).selectOption({ label: 'something else' })
  await view.shoot('asks')
  await view.send()
  for (const { name } of files) await view.state(name, 'done')
  assert.equal(said.get(files[0].name), ask.missing)
  assert.equal(said.get(files[1].name), 'none')
  await view.page.locator(`#asks [data-ask="${ask.missing}"][data-arrived="true"]`).waitFor()
  const { asks } = await staff('GET', '/tickets/1002/asks')
  const { uploads } = await staff('GET', '/uploads?ticket=1002')
  const found = uploads.find((each) => each.sha256 === files[0].sha256)
  assert.equal(asks.find((each) => each.id === ask.missing).upload_id, found.id)
  await view.close()
})

test('with the token as a password, not in the address', async () => {
  const token = new URL(demo.links.acme.url).pathname.split('/')[2]
  const view = await open({ link: `${proxy.origin}/u/-/`, httpCredentials: { username: 'any', password: token } })
  const addresses = []
  view.page.on('request', (request) => addresses.push(request.url()))
  const file = make(3 * MB)
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  assert.match(await view.row(file.name).locator('.status').textContent(), /verified/)
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  assert.ok(addresses.some((address) => address.startsWith(`${proxy.origin}/u/-/uploads`)))
  assert.deepEqual(addresses.filter((address) => address.includes(token)), [])
  await view.close()
})

test('in German', async () => {
  const view = await open({ locale: 'de-DE' })
  assert.equal(await view.page.locator('html').getAttribute('lang'), 'de')
  await view.page.getByRole('heading', { level: 1, name: 'Dateien an den Support senden' }).waitFor()
  // What the script adds is German, too.
  await view.page.getByRole('button', { name: 'Dateien auswählen' }).waitFor()
  const file = make(1000)
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
})

test('a received file can be removed', async () => {
  const view = await open()
  const file = make(100)
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  const entry = view.page.locator('#received > li').filter({ hasText: file.name })
  await entry.getByRole('button', { name: /^Remove/ }).click()
  await view.page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await entry.waitFor({ state: 'detached' })
  assert.ok(!(await received()).some((each) => each.name === file.name))
  await view.close()
})

test('two hundred files', async () => {
  const view = await open()
  const files = Array.from({ length: 200 }, () => make(100))
  await view.choose(...files)
  await view.send()
  await view.page.locator('#files > li[data-state="done"]').nth(199).waitFor({ timeout: 2 * LONG })
  const sums = new Set()
  for (const file of files) sums.add((await receiptOf(view, file.name)).sha256)
  assert.deepEqual(sums, new Set(files.map((file) => file.sha256)))
  await view.close()
})

test('without JavaScript the form sends', async () => {
  const view = await open({ javaScriptEnabled: false })
  const file = make(1000)
  await view.page.getByLabel('Files').setInputFiles(file.path)
  await view.shoot('without-script')
  await view.page.getByRole('button', { name: 'Send' }).click()
  await view.page.getByText(file.sha256).waitFor()
  await view.close()
})

test('copies a command', async () => {
  const view = await open({ permissions: ['clipboard-read', 'clipboard-write'] })
  await view.page.getByRole('button', { name: 'Copy: Send a file with curl' }).click()
  assert.match(await view.page.evaluate(() => navigator.clipboard.readText()), /^curl --fail-with-body/)
  await view.close()
})

for (const [title, options, dir] of [
  ['light', {}, ''],
  ['dark', { colorScheme: 'dark' }, ''],
  ['right to left', {}, 'rtl'],
  ['phone', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }, ''],
  ['forced colors', { forcedColors: 'active' }, ''],
  ['german', { locale: 'de-DE' }, ''],
  ['french', { locale: 'fr-FR' }, ''],
  ['japanese', { locale: 'ja-JP' }, ''],
]) {
  test(`axe finds nothing: ${title}`, async () => {
    const { link } = await waiting('1002', ['The server log', 'A dump'], 'dump.bin')
    Object.assign(proxy.settings, { dir, perSecond: 6 * MB })
    const view = await open({ link, ...options })
    const [done, paused] = [make(100), make(15 * MB)]
    await view.choose(done, paused)
    await view.send()
    await view.state(done.name, 'done')
    await view.reaches(paused.name, 0.2)
    await view.act(paused.name, 'pause')
    await view.choose(make(10))
    await view.choose({ name: 'a\\b', mimeType: '', buffer: randomBytes(9) })
    await view.page.locator('#files > li[data-state="unusable"]').waitFor()
    await view.row(done.name).locator('summary').click()
    // Not by a tag, which the policy forbids.
    await view.page.evaluate(`${axe}; undefined`)
    const { violations } = await view.page.evaluate(() => window.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }))
    assert.deepEqual(violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`), [])
    assert.equal(await view.page.evaluate(() => getComputedStyle(document.body).direction), dir || 'ltr')
    const wider = await view.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(wider <= 0, `${wider} pixels too wide`)
    await view.shoot(`page-${title.replaceAll(' ', '-')}`)
    await view.act(paused.name, 'cancel')
    await view.close()
  })
}
