// The upload page in a real browser, with and without JavaScript: choose files, send, read the receipt.
// Usage: node upload.mjs DEMO_JSON [SCREENSHOT_FOLDER]
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { launch } from './chromium.mjs'

const demo = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const screenshots = process.argv[3]
const folder = mkdtempSync(join(tmpdir(), 'browser-'))
const staff = (path) => fetch(demo.url + path, { headers: { authorization: `Bearer ${demo.staff_token}` } })

const files = [
  ['report "final" é€.log', Buffer.from('a small file\n')],
  ['large.bin', Buffer.alloc(21_000_000, 7)],
].map(([name, bytes]) => {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return { name, path, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
})

const browser = await launch()
let passed = 0
try {
  const link = new URL(demo.links.acme.url)
  // Not the name that the configuration knows; and the token out of the address.
  const local = new URL(link)
  local.hostname = 'localhost'
  assert.notEqual(local.host, link.host)
  const open = new URL('/u/-/', local)
  const asked = { username: 'any', password: link.pathname.split('/').pop() }
  const embedded = Object.assign(new URL(open), asked)
  const ways = [
    { address: link }, { address: link, javaScriptEnabled: true },
    { address: local }, { address: local, javaScriptEnabled: true },
    { address: new URL('?ticket=1001', local) }, { address: new URL(`${local}/`) },
    { address: open, httpCredentials: asked }, { address: embedded },
    { address: open, httpCredentials: asked, javaScriptEnabled: true }, { address: embedded, javaScriptEnabled: true },
  ]
  for (const { address, javaScriptEnabled = false, httpCredentials } of ways) {
    const context = await browser.newContext({ javaScriptEnabled, httpCredentials, viewport: { width: 800, height: 1000 } })
    const page = await context.newPage()
    const errors = []
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()) })
    await page.goto(address.href)
    if (screenshots) await page.screenshot({ path: join(screenshots, 'upload.png') })
    assert.match(await page.locator('main').innerText(), /Acme, ticket 1001/)
    if (javaScriptEnabled) {
      await page.locator('form[data-ready]').waitFor()
      await page.locator('#file').setInputFiles(files.map((file) => file.path))
      await page.locator('#send-files').click()
      for (const file of files) {
        const row = page.locator('#files > li[data-state="done"]')
          .filter({ has: page.getByRole('heading', { name: file.name, exact: true }) })
        await row.waitFor()
        assert.equal(await row.locator('dl.receipt .digest').textContent(), file.sha256)
      }
      assert.deepEqual(errors, [])
      await context.close()
      continue
    }
    await page.getByLabel('Files').setInputFiles(files.map((file) => file.path))
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByRole('heading', { name: 'Your 2 files have arrived' }).waitFor()
    assert.equal(new URL(page.url()).host, address.host)
    const text = await page.locator('main').innerText()
    for (const file of files) {
      assert.ok(text.includes(file.sha256), `${file.name}: no digest in ${text}`)
      assert.ok(text.includes(file.name), `${file.name}: no name in ${text}`)
    }
    if (screenshots) await page.screenshot({ path: join(screenshots, 'receipts.png') })
    await page.getByRole('link', { name: 'Receipt' }).first().click()
    await page.getByText(files[0].sha256).waitFor()
    await page.waitForURL(/\/uploads\/[^/]+$/)
    await page.getByRole('link', { name: 'Send more' }).click()
    await page.getByRole('button', { name: 'Send' }).waitFor()
    assert.equal(new URL(page.url()).host, address.host)
    assert.deepEqual(errors, [])
    await context.close()
  }
  passed = ways.length
  const listed = (await (await staff('/api/v1/uploads?ticket=1001')).json()).uploads
  for (const file of files) {
    const found = listed.filter((receipt) => receipt.sha256 === file.sha256)
    assert.equal(found.length, 1, `${file.name} was sent ${ways.length} times and must be there once`)
    assert.equal(found[0].name, file.name)
    const content = await (await staff(`/api/v1/uploads/${found[0].id}/content?via=gateway`)).arrayBuffer()
    assert.equal(createHash('sha256').update(Buffer.from(content)).digest('hex'), file.sha256)
  }
  console.log(`browser: ${passed} passed, 0 failed`)
} finally {
  await browser.close()
}
