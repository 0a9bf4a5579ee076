// Continuing after a reload, a cut, a kill of the browser or of the gateway, and beside another tab.
// Usage: see world.mjs.
import assert from 'node:assert/strict'
import { mkdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'

import { isFirefox, launchWithProfile, processOf } from './browsers.mjs'
import { open, receiptOf, rechoose, remembered } from './view.mjs'
import { MB, browser, demo, folder, killGateway, make, proxy, slowly, startGateway, until } from './world.mjs'

test('a reload in the middle: the file is chosen again, another one is refused', slowly(6 * MB, async () => {
  const view = await open()
  const file = make(20 * MB)
  await view.choose(file)
  await view.send()
  await view.reaches(file.name, 0.4)
  let warned = false
  view.page.on('dialog', (dialog) => { warned = dialog.type() === 'beforeunload'; void dialog.accept() })
  // Browsers warn only on pages that somebody has used.
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

// Only Chromium has a dialog that gives handles. Firefox can keep one, so this would pass there, but nobody gets one.
const oneClick = () => test('a reload in the middle: one click where the browser keeps a handle', slowly(6 * MB, async () => {
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

const noHandle = () => test('a reload in the middle: without handles the page asks for the file', slowly(6 * MB, async () => {
  const view = await open()
  assert.equal(await view.page.evaluate(() => 'showOpenFilePicker' in window), false)
  const file = make(15 * MB)
  const choosing = view.page.waitForEvent('filechooser')
  await view.page.locator('#choose-files').click()
  await (await choosing).setFiles(file.path)
  await view.row(file.name).waitFor()
  await view.send()
  await view.reaches(file.name, 0.4)
  view.page.on('dialog', (dialog) => void dialog.accept())
  await view.page.reload()
  await view.state(file.name, 'missing')
  assert.equal(await view.row(file.name).locator('[data-do="continue"]').isVisible(), false)
  const asked = view.page.waitForEvent('filechooser')
  await view.act(file.name, 'reselect')
  await (await asked).setFiles(file.path)
  await view.state(file.name, 'done')
  assert.equal((await receiptOf(view, file.name)).sha256, file.sha256)
  await view.close()
}))

if (isFirefox) noHandle()
else oneClick()

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
  process.kill(processOf(profile), 'SIGKILL')
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
