// Sending: every way to choose files, and what arrives.
// Usage: see world.mjs.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'

import { chooseFolder, downloaded, open, receiptOf } from './view.mjs'
import { LONG, MB, demo, folder, make, proxy, received, sha256, slowly, until } from './world.mjs'

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
  const receipt = await downloaded(view, `${files[0].name}.receipt.json`, () =>
    view.row(files[0].name).getByRole('button', { name: /Download the receipt/ }).click())
  assert.equal(JSON.parse(receipt).sha256, files[0].sha256)
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
  await chooseFolder(view, root)
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
      : new ClipboardEvent('paste', { bubbles: true, cancelable: true })
    // Firefox does not take these from whoever makes the event.
    if (type === 'paste') Object.defineProperty(event, 'clipboardData', { value: data })
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

test('without WebAssembly the digest is computed all the same', async () => {
  proxy.settings.wasm = false
  const view = await open()
  const file = make(5 * MB)
  await view.choose(file)
  await view.send()
  await view.state(file.name, 'done')
  assert.match(await view.row(file.name).locator('.status').textContent(), /verified/)
  // That policy was in the way, so the usual one is what lets WebAssembly run.
  await until(() => view.faults.length > 0, 'nothing was forbidden')
  assert.deepEqual(new Set(view.faults), new Set(['Content Security Policy: script-src']))
  await view.context.close()
})

test('without JavaScript the form sends', async () => {
  const view = await open({ javaScriptEnabled: false })
  const file = make(1000)
  await view.page.getByLabel('Files').setInputFiles(file.path)
  await view.shoot('without-script')
  await view.page.getByRole('button', { name: 'Send' }).press('Enter')
  await view.page.getByText(file.sha256).waitFor()
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
