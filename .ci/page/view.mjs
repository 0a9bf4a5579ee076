// The upload page in the browser, as the tests see and use it.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'

import { isFirefox, newContext } from './browsers.mjs'
import { LONG, acme, browser, downloads, proxy, shots, until } from './world.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** A page of a link, with every violation of its policy and every error noted. `isPlain`: it has no script. */
export async function open({ context, link = acme(), isPlain, ...options } = {}) {
  const own = context ?? await newContext(browser, { viewport: { width: 900, height: 1000 }, locale: 'en-GB', ...options })
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
    const say = (directive) => console.error(`Content Security Policy: ${directive}`)
    addEventListener('securitypolicyviolation', (event) => say(event.violatedDirective))
    // The proxy lets the page's worker tell of its own.
    new BroadcastChannel('violations').addEventListener('message', (event) => say(event.data))
  })
  await page.goto(link)
  if (options.javaScriptEnabled !== false && !isPlain) await page.locator('form[data-ready]').waitFor()
  const close = async () => {
    assert.deepEqual(faults, [])
    if (!context) await own.close()
  }
  const row = (name) => page.locator('#files > li').filter({ has: page.getByRole('heading', { name, exact: true }) })
  return {
    page, context: own, faults, close, row,
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

/** Chooses this folder, as somebody does by the page's dialog for folders. */
export async function chooseFolder(view, root) {
  const field = view.page.locator('input[webkitdirectory]')
  if (!isFirefox) return field.setInputFiles(root)
  // A driver cannot choose a folder in Firefox. A field of the test's own takes its files, and the page's field gets them.
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  await view.page.evaluate(() => {
    const own = document.createElement('input')
    Object.assign(own, { type: 'file', multiple: true, id: 'own' })
    document.body.append(own)
  })
  await view.page.locator('#own').setInputFiles(paths)
  await field.evaluate((field, relative) => {
    const own = document.querySelector('#own')
    const files = [...own.files]
    files.forEach((file, at) => Object.defineProperty(file, 'webkitRelativePath', { value: relative[at] }))
    own.remove()
    Object.defineProperty(field, 'files', { value: files, configurable: true })
    field.dispatchEvent(new Event('change', { bubbles: true }))
    delete field.files
  }, paths.map((path) => relative(dirname(root), path)))
}

/** The contents of the file with this name that `act` lets the browser store. */
export async function downloaded(view, name, act) {
  const started = isFirefox ? null : view.page.waitForEvent('download')
  await act()
  if (started) return readFileSync(await (await started).path(), 'utf8')
  // Playwright does not hear of it from Firefox.
  const path = join(downloads, name)
  await until(() => existsSync(path) && statSync(path).size > 0, `${name} does not arrive`)
  return readFileSync(path, 'utf8')
}

export async function receiptOf(view, name) {
  return { sha256: await view.row(name).locator('dl.receipt .digest').textContent() }
}

/** The browser asks which files to choose; without a handle it asks by the usual dialog. */
export async function rechoose(view, name, file) {
  await view.page.evaluate(() => { delete window.showOpenFilePicker })
  const asked = view.page.waitForEvent('filechooser')
  await view.act(name, 'reselect')
  await (await asked).setFiles(file.path)
}

/** What axe finds on a page, as lines. */
export async function violationsOf(page) {
  // Not by a tag, which the policy forbids.
  await page.evaluate(`${axe}; undefined`)
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }))
  return violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`)
}

/** What the browser remembers of a file, if anything. */
export const remembered = (view, name) => view.page.evaluate((name) => new Promise((resolve, reject) => {
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
