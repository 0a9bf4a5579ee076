// What else the page is for: tickets, escalations and notes, while files are on their way.
// Usage: see world.mjs.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { open, receiptOf, violationsOf } from './view.mjs'
import { MB, demo, killGateway, make, proxy, slowly, startGateway, through, until } from './world.mjs'

const partner = () => through(demo.partner_links.acme)

/** What the desk answers. */
async function desk(path) {
  const { url, authorization } = demo.desk
  return (await fetch(`${url}/api/v2${path}`, { headers: { authorization } })).json()
}
const comments = async (ticket) => (await desk(`/tickets/${ticket}/comments`)).comments.map((each) => each.body)

/** The parts of a form in this section. */
function section(view, id) {
  const root = view.page.locator(`#${id}`)
  return {
    unfold: () => root.locator('summary').click(),
    fill: async (fields) => {
      for (const [name, value] of Object.entries(fields)) {
        const field = root.locator(`[name="${name}"]`)
        // In Firefox the driver's text would follow an e-mail address that is there.
        await field.evaluate((element) => { element.value = '' })
        await field.fill(value)
      }
    },
    field: (name) => root.locator(`[name="${name}"]`),
    press: () => root.locator('form button:not([type="button"])').click(),
    result: root.locator('.result'),
    error: root.locator('.error[role="alert"]'),
    wrong: root.locator('.field-error'),
  }
}

test('a ticket is opened while a file is sent, and later files go to it', slowly(2 * MB, async () => {
  const view = await open({ link: partner() })
  const [before, after] = [make(10 * MB), make(100)]
  await view.page.locator('#ticket').fill('1001')
  await view.choose(before)
  await view.send()
  await view.reaches(before.name, 0.1)

  const form = section(view, 'open-ticket')
  await form.unfold()
  const ticket = { contact: 'stranger@acme.example', customer: 'Initech', subject: 'Slow', description: 'Since Monday.' }
  await form.fill(ticket)
  await form.press()
  await form.error.getByText('Sam Example, customer success').waitFor()
  await view.shoot('not-arranged')
  await form.fill({ contact: demo.contacts.acme })
  await form.field('nfr').selectOption('true')
  await form.press()
  await form.error.getByText('gets no support').waitFor()
  await form.field('nfr').selectOption('false')
  // A browser tries again by itself for each of its idle connections.
  proxy.settings.lose = Infinity
  await form.press()
  await form.error.getByText('Press the button again').waitFor()
  proxy.settings.lose = 0
  await form.press()
  await form.result.getByText('is open').waitFor()
  await view.shoot('opened')
  const [number] = /\d+/.exec(await form.result.textContent())
  for (const field of ['#ticket', '#note-ticket', '#request']) {
    assert.equal(await view.page.locator(field).inputValue(), number, field)
  }
  assert.match((await desk(`/tickets/${number}`)).ticket.description, /Since Monday/)
  assert.equal((await desk(`/tickets/${Number(number) + 1}`)).ticket, undefined, 'a second ticket was opened')

  proxy.settings.perSecond = 0
  await view.state(before.name, 'done')
  await view.choose(after)
  await view.send()
  await view.state(after.name, 'done')
  const tickets = async (file) => (await view.row(file.name).locator('dl.receipt').textContent()).includes(number)
  assert.deepEqual([await tickets(before), await tickets(after)], [false, true])
  assert.equal((await receiptOf(view, after.name)).sha256, after.sha256)

  // A link for this ticket alone, to hand on.
  await view.page.locator('#make-link').click()
  const link = view.page.locator('#send .result a')
  await link.waitFor()
  const made = await open({ link: through({ url: await link.textContent() }) })
  await made.page.getByText(`ticket ${number}`).first().waitFor()
  await made.close()
  await view.close()
}))

test('an escalation: a mistake is marked, and a second one joins', async () => {
  const view = await open({ link: partner() })
  const form = section(view, 'escalate')
  await form.unfold()
  const wanted = { request: '#1001', reason: 'Production is down', actions: 'Call us' }
  await form.fill(wanted)
  await form.press()
  await form.wrong.getByText('without').waitFor()
  const field = form.field('request')
  assert.equal(await field.getAttribute('aria-invalid'), 'true')
  assert.equal(await form.wrong.getAttribute('id'), await field.getAttribute('aria-describedby'))
  assert.ok(await field.evaluate((element) => element === document.activeElement), 'the wrong field has the focus')
  assert.deepEqual(await violationsOf(view.page), [])
  await view.shoot('wrong-field')
  await form.fill({ request: '1001' })
  await form.press()
  await form.result.getByText('is escalated').waitFor()
  assert.equal(await form.wrong.count(), 0)
  assert.equal(await field.getAttribute('aria-invalid'), null)
  await form.fill({ ...wanted, request: '1001' })
  await form.press()
  await form.result.getByText('joined').waitFor()
  await view.shoot('escalated')
  // In a tab of its own: files may be on their way here.
  const [tab] = await Promise.all([view.context.waitForEvent('page'), form.result.getByRole('link').click()])
  await tab.locator('#state').waitFor()
  assert.deepEqual(await violationsOf(tab), [])
  await view.close()
})

test('a note is sent once, although the gateway is killed and an answer is lost', async () => {
  const view = await open()
  const form = section(view, 'note')
  await form.unfold()
  const text = `See line 7 of ${make(1).name}`
  await form.fill({ text })
  const { host } = new URL(demo.url)
  await killGateway()
  await form.press()
  await form.error.getByText('Press the button again').waitFor()
  await view.shoot('note-interrupted')
  await startGateway(host)
  proxy.settings.lose = 1
  await form.press()
  await form.error.getByText('Press the button again').waitFor()
  await form.press()
  await form.result.getByText('so it is on ticket 1001 once').waitFor()
  const noted = async () => (await comments('1001')).filter((body) => body.includes(text)).length
  await until(noted, 'the note is not on the ticket')
  // A second one would have followed it at once.
  const last = `The last word on ${text}`
  await form.fill({ text: last })
  await form.press()
  await until(async () => (await comments('1001')).some((body) => body.includes(last)), 'the last note is not on the ticket')
  assert.equal((await comments('1001')).join('\n').split(`\`${text}\``).length - 1, 1)
  await view.close()
})

test('axe finds nothing on the pages without a script', async () => {
  for (const path of ['tickets', 'escalate', 'uploads/nothing', '../nobody']) {
    const view = await open({ link: new URL(path, partner()).href, isPlain: true })
    assert.deepEqual(await violationsOf(view.page), [], path)
    await view.shoot(`plain-${path.replaceAll(/\W/g, '')}`)
    await view.close()
  }
})
