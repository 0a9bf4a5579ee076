// The forms for tickets and escalations in a real browser, with JavaScript switched off: open a ticket with a file, correct a
// mistake, escalate the ticket, read its state.
// Usage: node tickets.mjs DEMO_JSON [SCREENSHOT_FOLDER]
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { launch } from './chromium.mjs'

const demo = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const screenshots = process.argv[3]
const file = join(mkdtempSync(join(tmpdir(), 'browser-')), 'trace "1".log')
writeFileSync(file, 'a trace\n')
const desk = async (path) => {
  const answer = await fetch(`${demo.desk.url}/api/v2${path}`, { headers: { authorization: demo.desk.authorization } })
  return answer.json()
}

const browser = await launch()
let passed = 0
try {
  for (const javaScriptEnabled of [false, true]) {
    const context = await browser.newContext({ javaScriptEnabled, viewport: { width: 800, height: 1200 } })
    const page = await context.newPage()
    const errors = []
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()) })
    const shoot = async (name) => { if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`) }) }
    const customer = javaScriptEnabled ? 'Initech & Söhne' : 'Initech <b>'
    const number = javaScriptEnabled ? 'T900000001' : 'T900000002'

    // A page of its own, and the same form on the upload page, where it works without JavaScript.
    const partner = demo.partner_links.acme.url
    const open = async (name) => {
      await page.goto(javaScriptEnabled ? `${partner}/${name}` : partner)
      await unfold(name)
    }
    const unfold = async (name) => {
      if (!javaScriptEnabled) await page.locator(`#${name === 'tickets' ? 'open-ticket' : name} summary`).click()
    }
    await open('tickets')
    await page.getByLabel('Contact').fill('stranger@acme.example')
    await page.getByLabel('Customer').fill(customer)
    await page.getByLabel('Your case number').fill(number)
    await page.getByLabel('Subject').fill('Slow since Monday')
    await page.getByLabel('Description').fill('Every page takes ten seconds.\nSince Monday.')
    await page.locator('#ticket-files').setInputFiles(file)
    await shoot('open-ticket')
    await page.getByRole('button', { name: 'Open the ticket' }).click()
    await page.getByText('Sam Example, customer success').waitFor()
    await shoot('not-arranged')
    await page.goBack()
    await unfold('tickets')
    await page.getByLabel('Contact').fill(demo.contacts.acme)
    await page.locator('#ticket-files').setInputFiles(file)
    await page.getByRole('button', { name: 'Open the ticket' }).click()
    await page.getByRole('heading', { name: /^Ticket \d+$/ }).waitFor()
    await shoot('ticket')
    const ticket = (await page.locator('h1').innerText()).replace('Ticket ', '')
    assert.match(await page.locator('main').innerText(), /trace "1"\.log/)
    const seen = (await desk(`/tickets/${ticket}`)).ticket
    assert.equal(seen.subject, `[${customer}] - [${number}] - [Slow since Monday]`)
    await page.locator('#link').click()
    await page.getByText(`For Acme, ticket ${ticket}`).waitFor()

    await open('escalate')
    await page.getByLabel('Request ID or case number').fill(`#${ticket}`)
    await page.getByLabel('Reason').fill('Production is down')
    await page.getByLabel('Desired actions').fill('Call us')
    await page.getByLabel('This is an emergency').check()
    await page.getByRole('button', { name: 'Escalate' }).click()
    await page.getByText('such as 123456 or T123456789, without').waitFor()
    await page.goBack()
    await unfold('escalate')
    await page.getByLabel('Request ID or case number').fill(number)
    await shoot('escalate')
    await page.getByRole('button', { name: 'Escalate' }).click()
    await page.getByRole('heading', { name: /^Escalation E-/ }).waitFor()
    await shoot('escalation')
    assert.match(await page.locator('main').innerText(), new RegExp(`Ticket ${ticket}. State: submitted`))
    await page.getByRole('link', { name: 'See its state later' }).click()
    await page.locator('#state').waitFor()
    for (let tries = 0; ; tries++) {
      if ((await desk(`/tickets/${ticket}`)).ticket.tags.includes('star_submitted')) break
      assert.ok(tries < 300, 'the ticket has no tag')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    // A refusal is an error to the console, too.
    assert.deepEqual(errors.filter((error) => !/status of 4\d\d/.test(error)), [])
    await context.close()
    passed += 1
  }
} finally {
  await browser.close()
}
console.log(`browser: ${passed} passed, 0 failed`)
