// What may follow sending: refusals, cancelling, removing.
// Usage: see world.mjs.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { open, receiptOf, remembered } from './view.mjs'
import { MB, browser, demo, make, proxy, received, slowly, through, until } from './world.mjs'

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

test('copies a command', async () => {
  const view = await open({ permissions: ['clipboard-read', 'clipboard-write'] })
  await view.page.getByRole('button', { name: 'Copy: Send a file with curl' }).click()
  assert.match(await view.page.evaluate(() => navigator.clipboard.readText()), /^curl --fail-with-body/)
  await view.close()
})
