// How the page reads: languages, and what axe finds in each look.
// Usage: see world.mjs.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'

import { open, receiptOf, violationsOf } from './view.mjs'
import { MB, make, proxy, waiting } from './world.mjs'

const GERMAN = { locale: 'de-DE' }

test('in German', async () => {
  const view = await open(GERMAN)
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

const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
for (const [title, options, dir, media] of [
  ['light', {}, '', '(prefers-color-scheme: light)'],
  ['dark', { colorScheme: 'dark' }, '', '(prefers-color-scheme: dark)'],
  ['right to left', {}, 'rtl'],
  ['phone', PHONE, '', '(max-width: 360px) and (pointer: coarse)'],
  ['forced colors', { forcedColors: 'active' }, '', '(forced-colors: active)'],
  ['german', GERMAN, ''],
  ['french', { locale: 'fr-FR' }, ''],
  ['japanese', { locale: 'ja-JP' }, ''],
]) {
  test(`axe finds nothing: ${title}`, async () => {
    const { link } = await waiting('1002', ['The server log', 'A dump'], 'dump.bin')
    Object.assign(proxy.settings, { dir, perSecond: 6 * MB })
    const view = await open({ link, ...options })
    if (media) assert.ok(await view.page.evaluate((media) => matchMedia(media).matches, media), `not ${media}`)
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
    for (const more of await view.page.locator('.more summary').all()) await more.click()
    assert.deepEqual(await violationsOf(view.page), [])
    assert.equal(await view.page.evaluate(() => getComputedStyle(document.body).direction), dir || 'ltr')
    const wider = await view.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(wider <= 0, `${wider} pixels too wide`)
    await view.shoot(`page-${title.replaceAll(' ', '-')}`)
    await view.act(paused.name, 'cancel')
    await view.close()
  })
}
