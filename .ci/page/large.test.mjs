// A file of 5 GiB, which the browser must not keep in memory. Takes minutes, and twice its size in the temporary folder.
// Usage: see world.mjs. LARGE=BYTES for another size.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'

import { hideRequests, launchWithProfile, memoryOf } from './browsers.mjs'
import { open, receiptOf } from './view.mjs'
import { MB, folder } from './world.mjs'

const SIZE = Number(process.env.LARGE ?? 5 * 1024 ** 3)
/** What a browser may use for its own business. */
const ALLOWED = 500 * MB
/** Between two looks at its memory. */
const LOOK = 250

/** The digest of so many zeros. */
function digestOf(size) {
  const hash = createHash('sha256')
  const zeros = Buffer.alloc(4 * MB)
  for (let left = size; left > 0; left -= zeros.length) hash.update(zeros.subarray(0, Math.min(left, zeros.length)))
  return hash.digest('hex')
}

test('a file of 5 GiB stays out of memory', async (context) => {
  const path = join(folder, 'large.bin')
  writeFileSync(path, '')
  truncateSync(path, SIZE)
  const profile = join(folder, 'profile')
  const browser = await launchWithProfile(profile)
  context.after(() => browser.close())
  const view = await open({ context: browser })
  await hideRequests(browser)
  await view.choose(path)
  await view.row('large.bin').waitFor()
  const before = memoryOf(profile)
  let most = before
  await view.send()
  const row = view.row('large.bin')
  const isOver = async () => /^(done|failed|differs)$/.test(await row.getAttribute('data-state'))
  while (!await isOver()) {
    most = Math.max(most, memoryOf(profile))
    await pause(LOOK)
  }
  context.diagnostic(`${Math.round((most - before) / MB)} MB more than before`)
  assert.match(await row.locator('.status').textContent(), /verified/)
  assert.equal((await receiptOf(view, 'large.bin')).sha256, digestOf(SIZE))
  assert.ok(most - before < ALLOWED, `${most - before} bytes more than before`)
  await view.close()
})
