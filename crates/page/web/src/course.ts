// The course of one file: its turn among tabs, its bytes, its receipt, the comparison of digests.

import { type Gateway, Refusal, isGone, isPassing } from './gateway'
import { type Hashing, type Running, Unreadable } from './hashing'
import type { Item, Receipt, State } from './item'
import { delay, pause } from './retry'
import type { Sender } from './sender'
import { type Kept, type Shelf, keyOf } from './shelf'
import { alone } from './tabs'
import { t } from './text'

export interface Tools {
  gateway: Gateway
  sender: Sender
  hashing: Hashing
  shelf: Shelf
  changed(item: Item): void
  /** Resolves when the sender continues with a file. */
  resumed(item: Item): Promise<void>
  /** The digest under way, which follows the upload. */
  follow(item: Item, running: Running | null): void
}

/** Where the loop below has come to, for the sender of a file. */
function set(tools: Tools, item: Item, state: State, why = ''): void {
  item.state = state
  item.why = why
  tools.changed(item)
}

export const lockOf = (shelf: Shelf, item: Item) => `weighbridge ${keyOf(shelf.link, item)}`

/** Runs until the file has arrived, is cancelled, or needs a person. */
export async function run(item: Item, tools: Tools): Promise<void> {
  const { signal } = item.stop
  try {
    const busy = () => set(tools, item, 'elsewhere', t('elsewhere'))
    await alone(lockOf(tools.shelf, item), signal, busy, () => course(item, tools))
  } catch (error) {
    if (signal.aborted) return
    if (error instanceof Unreadable) {
      item.file = null
      set(tools, item, 'missing', t('missing.unreadable'))
    } else {
      set(tools, item, 'failed', await inWords(item, error, tools.gateway))
    }
  }
}

async function course(item: Item, tools: Tools): Promise<void> {
  const { file } = item
  if (!file) throw new Unreadable()
  if (item.state !== 'paused') set(tools, item, 'queued')
  item.ends ??= await tools.hashing.ends(file)
  recall(item, await tools.shelf.get(item))
  const running = tools.hashing.begin(file)
  tools.follow(item, running)
  try {
    let receipt: Receipt | null = null
    while (!receipt) {
      await deliver(item, file, tools)
      set(tools, item, 'checking', t('checking.receipt'))
      receipt = await confirm(item, tools)
    }
    item.sent = item.size
    item.receipt = receipt
    running.follow(item.size)
    set(tools, item, 'checking', t('checking.digest'))
    await compare(item, receipt, running, tools)
  } finally {
    running.stop()
    tools.follow(item, null)
  }
}

/** Continues where this or another tab stopped, if it was the same file under the same name for the same ticket. */
function recall(item: Item, kept: Kept | null): void {
  if (!kept || item.uploadId || kept.state === 'unwanted') return
  const same = kept.ends === item.ends && kept.name === item.name && kept.ticket === item.ticket
  if (same) item.uploadId = kept.uploadId
}

/** Sends until the gateway has every byte. Tries again as long as that can help. */
async function deliver(item: Item, file: File, tools: Tools): Promise<void> {
  const { signal } = item.stop
  for (let attempt = 0; ; ) {
    if ((item.state as State) === 'paused') await tools.resumed(item)
    signal.throwIfAborted()
    const before = item.sent
    try {
      if (item.state !== 'waiting') set(tools, item, 'queued')
      await tools.sender.send(item, file)
      return
    } catch (error) {
      signal.throwIfAborted()
      if ((item.state as State) === 'paused') continue
      const wasDone = isGone(error) && item.uploadId !== null && (await tools.shelf.get(item))?.state === 'done'
      if (wasDone) {
        // What arrived before was removed since: send it again.
        item.uploadId = null
        await tools.shelf.drop(item)
        continue
      }
      if (!isPassing(error)) throw error
      if (!(error instanceof Refusal) && navigator.onLine) await readable(file)
      attempt = item.sent > before ? 0 : attempt + 1
      set(tools, item, 'waiting', whyWait(error))
      await pause(delay(attempt, error instanceof Refusal ? error.retryAfter : 0), signal)
    }
  }
}

function whyWait(error: unknown): string {
  if (!navigator.onLine) return t('waiting.offline')
  return error instanceof Refusal && error.message ? error.message : t('waiting.network')
}

/** A file that changed on disk looks like a broken network. */
async function readable(file: File): Promise<void> {
  try {
    await file.slice(0, 1).arrayBuffer()
  } catch {
    throw new Unreadable()
  }
}

/** The receipt; null if bytes are missing after all. */
async function confirm(item: Item, tools: Tools): Promise<Receipt | null> {
  const { signal } = item.stop
  for (let attempt = 0; ; attempt += 1) {
    try {
      if (!item.uploadId) return null
      const { receipt } = await tools.gateway.receipt(item.uploadId, signal)
      if (receipt.sha256) return receipt
      if (receipt.state === 'open' && (receipt.offset ?? 0) < item.size) return null
      if (receipt.state === 'cancelled' || receipt.state === 'removed') throw new Refusal(410, '', t('gone'), 0)
    } catch (error) {
      signal.throwIfAborted()
      if (!isPassing(error)) throw error
    }
    await pause(delay(Math.min(attempt, 4) - 1, 0), signal)
  }
}

async function compare(item: Item, receipt: Receipt, running: Running, tools: Tools): Promise<void> {
  try {
    item.sha256 = await running.digest
  } catch {
    // It changed after it was sent: the receipt stands for what was sent.
    item.sha256 = ''
  }
  const differs = item.sha256 !== '' && item.sha256 !== receipt.sha256
  const kept = await tools.shelf.get(item)
  if (differs) await tools.shelf.drop(item)
  else if (kept) await tools.shelf.put({ ...kept, state: 'done', handle: null })
  if (differs) set(tools, item, 'differs', t('differs'))
  else set(tools, item, 'done')
}

/** What happened and what to do next, for a person. */
async function inWords(item: Item, error: unknown, gateway: Gateway): Promise<string> {
  if (error instanceof Refusal && error.message) return error.message
  if (error instanceof Refusal && item.uploadId) {
    // HEAD has no body: ask again for the words.
    const again = await gateway.receipt(item.uploadId).then(() => null, (other: unknown) => other)
    if (again instanceof Refusal && again.message) return again.message
  }
  return error instanceof Refusal ? t('refused', { status: String(error.status) }) : t('broken')
}
