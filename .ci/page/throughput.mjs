// Sends one file with the upload page in a real browser, for `cargo bench -p benches --bench page`.
// Usage: node throughput.mjs LINK FILE. BROWSER and its program as in world.mjs.
// Prints JSON: seconds from the press of the button until the receipt has come, and until its digest has been compared. With
// --bare: seconds that the browser takes for a plain PUT of the file, without any script of the page.
import { closeAll, launch, newContext } from './browsers.mjs'

const [link, file, bare] = process.argv.slice(2)
const TIMEOUT = 600_000
const browser = await launch({})
const page = await (await newContext(browser, {})).newPage()
page.setDefaultTimeout(TIMEOUT)
await page.goto(link)
await page.locator('form[data-ready]').waitFor()
if (bare) {
  await page.evaluate(() => document.body.append(Object.assign(document.createElement('input'), { type: 'file', id: 'bare' })))
  await page.locator('#bare').setInputFiles(file)
  const seconds = await page.evaluate(() => new Promise((resolve, reject) => {
    const begun = performance.now()
    const request = new XMLHttpRequest()
    request.open('PUT', `${location.pathname}bare-${begun}.bin`)
    request.onload = () => (request.status === 201 ? resolve((performance.now() - begun) / 1000) : reject(request.status))
    request.onerror = reject
    request.send(document.querySelector('#bare').files[0])
  }))
  console.log(JSON.stringify({ bare_s: seconds }))
  await closeAll(browser)
  process.exit()
}
await page.locator('#file').setInputFiles(file)
await page.locator('#files > li[data-state="ready"]').waitFor()
// Measured inside the page: whoever asks it again and again takes its processor.
const sent = await page.evaluate(() => new Promise((resolve) => {
  const row = document.querySelector('#files > li')
  const begun = performance.now()
  const seconds = () => (performance.now() - begun) / 1000
  let arrived = null
  const look = () => {
    const { state } = row.dataset
    // In this state it has the receipt, or asks for it.
    if (['checking', 'done'].includes(state)) arrived ??= seconds()
    if (['done', 'failed', 'differs'].includes(state)) resolve({ arrived_s: arrived, compared_s: seconds(), state })
  }
  new MutationObserver(look).observe(row, { attributes: true })
  document.querySelector('#send-files').click()
}))
console.log(JSON.stringify(sent))
await closeAll(browser)
