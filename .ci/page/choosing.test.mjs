// What the page says of files before it sends them.
// Usage: see world.mjs.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'

import { open } from './view.mjs'
import { make, makeLink, received, staff, waiting } from './world.mjs'

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
