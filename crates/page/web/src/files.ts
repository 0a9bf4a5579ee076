// The files on the page: adding, starting, pausing, cancelling them, and remembering the unfinished ones.

import { onReturn, setSending } from './awake'
import { type Tools, lockOf, run } from './course'
import { type Gateway, Refusal, isGone } from './gateway'
import { Hashing, type Running } from './hashing'
import { type Handle, type Item, type State, hasEnded, isActive, newItem } from './item'
import { faultOf } from './names'
import type { PageData } from './page-data'
import { tryNow } from './retry'
import { Sender } from './sender'
import { type Kept, Shelf, keyOf } from './shelf'
import { isTaken } from './tabs'
import { size, t } from './text'

/** A file that was dropped, pasted or picked. */
export interface Found {
  file: File
  folder: string
  handle: Handle | null
}

const DONE_KEPT = 24 * 60 * 60 * 1000
const LOOK = 10_000
const SETTLING = [1_500, 5_000, 15_000]
/** Without a byte for so long, a connection is taken for dead. */
const STALLED = 60_000
/** The gateway stores a large file before it answers its last byte. */
const STORING = 10 * 60_000

export class Files {
  readonly items: Item[] = []
  readonly #tools: Tools
  #listeners: ((item: Item) => void)[] = []
  #running = new Map<Item, Running>()
  #paused = new Map<Item, () => void>()
  #saved = new Map<Item, string>()
  #moved = new Map<Item, { sent: number; at: number }>()

  constructor(
    private data: PageData,
    private gateway: Gateway,
    /** The ticket that somebody has entered: null if the link has one, '' if it is missing. */
    private ticket: () => string | null,
  ) {
    this.#tools = {
      gateway,
      sender: new Sender(gateway, (item) => this.changed(item)),
      hashing: new Hashing(data.assets.worker),
      shelf: new Shelf(data.link.id),
      changed: (item) => this.changed(item),
      resumed: (item) => new Promise((resolve) => this.#paused.set(item, resolve)),
      follow: (item, running) => (running ? this.#running.set(item, running) : this.#running.delete(item)),
    }
    onReturn((slept) => {
      if (slept) for (const item of this.items) if (item.state === 'sending') this.#tools.sender.drop(item)
      tryNow()
      void this.#cancelUnwanted()
    })
    setInterval(() => this.#restartStalled(), LOOK)
  }

  onChange(listener: (item: Item) => void): void {
    this.#listeners.push(listener)
  }

  changed(item: Item): void {
    this.#running.get(item)?.follow(item.sent)
    if (item.uploadId && this.#saved.get(item) !== item.uploadId && isActive(item)) void this.#save(item)
    const moved = this.#moved.get(item)
    if (item.state !== 'sending') this.#moved.delete(item)
    else if (!moved || moved.sent !== item.sent) this.#moved.set(item, { sent: item.sent, at: Date.now() })
    setSending(this.items.some(isActive))
    for (const listener of this.#listeners) listener(item)
  }

  /** Shows what was begun in an earlier visit. */
  async recall(): Promise<void> {
    void this.#cancelUnwanted()
    for (const kept of await this.#tools.shelf.all()) {
      if (kept.state === 'done' && Date.now() - kept.begunAt > DONE_KEPT) await this.#tools.shelf.drop(kept)
      if (kept.state === 'open') await this.#recallOne(kept)
    }
  }

  async #recallOne(kept: Kept): Promise<void> {
    const item = newItem(kept, kept.name, null, kept.handle)
    Object.assign(item, { uploadId: kept.uploadId, ends: kept.ends, ask: kept.ask, ticket: kept.ticket })
    this.#saved.set(item, kept.uploadId)
    if (await isTaken(lockOf(this.#tools.shelf, item))) return
    item.state = 'missing'
    if (!(await this.#ask(item, kept))) return
    this.items.push(item)
    this.changed(item)
    // What was on its way when the page was left may still become durable.
    for (const later of SETTLING) setTimeout(() => void this.#ask(item, kept), later)
  }

  /** How far an unfinished file is. False if it is gone. */
  async #ask(item: Item, kept: Kept): Promise<boolean> {
    if (item.state !== 'missing' || item.file) return true
    try {
      const { receipt, keptUntil } = await this.gateway.receipt(kept.uploadId)
      if ((item.state as State) !== 'missing') return true
      if (receipt.state === 'cancelled' || receipt.state === 'removed') throw new Refusal(410, '', '', 0)
      Object.assign(item, { keptUntil, sent: receipt.offset ?? item.sent })
      if (receipt.sha256) {
        Object.assign(item, { state: 'done', receipt, sent: item.size })
        await this.#tools.shelf.put({ ...kept, state: 'done', handle: null })
      }
    } catch (error) {
      if (isGone(error)) await this.#tools.shelf.drop(kept)
      return !isGone(error)
    }
    if (this.items.includes(item)) this.changed(item)
    return true
  }

  /** Adds files. Returns those that are on the page already. */
  async add(found: Found[]): Promise<Found[]> {
    const known: Found[] = []
    for (const each of found) {
      const { file, folder } = each
      const same = (item: Item) =>
        item.fileName === file.name && item.size === file.size && item.modified === file.lastModified
      const missing = this.items.find((item) => item.state === 'missing' && same(item))
      if (missing) {
        await this.reselect(missing, file, each.handle)
      } else if (this.items.some((item) => same(item) && item.folder === folder && !hasEnded(item))) {
        known.push(each)
      } else {
        const identity = { fileName: file.name, folder, size: file.size, modified: file.lastModified, type: file.type }
        const item = newItem(identity, file.name.normalize('NFC'), file, each.handle)
        this.items.push(item)
        this.check(item)
      }
    }
    return known
  }

  /** Whether it can be sent under its name. */
  check(item: Item): void {
    const fault = faultOf(item.name)
    const max = this.data.limits.max_size
    if (fault) Object.assign(item, { state: 'unusable', why: t(`name.${fault}`) })
    else if (this.isTooLarge(item)) Object.assign(item, { state: 'unusable', why: t('too-large', { max: size(max) }) })
    else Object.assign(item, { state: 'ready', why: '' })
    this.changed(item)
  }

  isTooLarge(item: Item): boolean {
    return item.size > this.data.limits.max_size
  }

  rename(item: Item, name: string): void {
    item.name = name.normalize('NFC')
    this.check(item)
  }

  /** Sends whatever is ready. */
  start(): void {
    const ticket = this.ticket()
    if (ticket === '') return
    for (const item of this.items) {
      if (item.state !== 'ready') continue
      item.ticket = ticket
      this.#run(item)
    }
  }

  #run(item: Item): void {
    item.stop = new AbortController()
    item.state = 'queued'
    item.why = ''
    this.changed(item)
    void run(item, this.#tools)
  }

  /** Continues with a file that was chosen again, if it is the same. */
  async reselect(item: Item, file: File, handle: Handle | null): Promise<boolean> {
    const fault = await this.#differs(item, file)
    if (fault) {
      item.why = fault
      this.changed(item)
      return false
    }
    item.file = file
    item.handle = handle ?? item.handle
    this.#run(item)
    return true
  }

  /** Why it is another file; null if it is the same. */
  async #differs(item: Item, file: File): Promise<string | null> {
    const names = { name: item.fileName, other: file.name }
    if (file.name !== item.fileName) return t('other.name', names)
    if (file.size !== item.size) return t('other.size', { ...names, size: size(item.size), found: size(file.size) })
    if (file.lastModified !== item.modified) return t('other.modified', names)
    const ends = await this.#tools.hashing.ends(file).catch(() => null)
    if (ends === null) return t('missing.unreadable')
    return item.ends && ends && ends !== item.ends ? t('other.content', names) : null
  }

  pause(item: Item): void {
    item.state = 'paused'
    item.why = ''
    this.#tools.sender.pause(item, true)
    this.changed(item)
    // Ends a wait between two attempts.
    tryNow()
  }

  resume(item: Item): void {
    item.state = 'queued'
    this.changed(item)
    this.#tools.sender.pause(item, false)
    this.#release(item)
  }

  #release(item: Item): void {
    this.#paused.get(item)?.()
    this.#paused.delete(item)
  }

  /** Sends a file again from its start. */
  again(item: Item): void {
    const ticket = this.ticket()
    if (ticket === '') return
    Object.assign(item, { ticket, uploadId: null, receipt: null, sha256: null, ends: null, sent: 0 })
    this.#saved.delete(item)
    void this.#tools.shelf.drop(item).then(() => this.#run(item))
  }

  /** Stops a file, and lets the gateway forget what it has of it. */
  async cancel(item: Item): Promise<void> {
    // Another tab's upload is not ours to cancel.
    const uploadId = item.state === 'elsewhere' ? null : item.uploadId
    item.stop.abort()
    this.#tools.sender.drop(item)
    this.#release(item)
    item.state = 'cancelled'
    item.why = ''
    this.changed(item)
    if (!uploadId) return
    const kept = await this.#tools.shelf.get(item)
    if (kept) await this.#tools.shelf.put({ ...kept, state: 'unwanted', handle: null })
    try {
      await this.gateway.remove(uploadId)
      await this.#tools.shelf.drop(item)
    } catch {
      // Tried again when the network is back, or at the next visit.
    }
  }

  /** Takes a file off the page that is not on its way. */
  forget(item: Item): void {
    const index = this.items.indexOf(item)
    if (index >= 0) this.items.splice(index, 1)
  }

  async #cancelUnwanted(): Promise<void> {
    for (const kept of await this.#tools.shelf.all()) {
      if (kept.state !== 'unwanted') continue
      await this.gateway.remove(kept.uploadId).then(() => this.#tools.shelf.drop(kept), () => {})
    }
  }

  async #save(item: Item): Promise<void> {
    const { fileName, folder, size, modified, type, name, ends, ask, ticket, handle, uploadId } = item
    if (!uploadId) return
    this.#saved.set(item, uploadId)
    const { link } = this.#tools.shelf
    const identity = { key: keyOf(link, item), link, fileName, folder, size, modified, type }
    const begunAt = Date.now()
    await this.#tools.shelf.put({ ...identity, name, uploadId, ends, ask, ticket, handle, begunAt, state: 'open' })
  }

  #restartStalled(): void {
    if (!navigator.onLine) return
    for (const [item, { at }] of this.#moved) {
      const patience = item.sent < item.size ? STALLED : STORING
      if (Date.now() - at > patience) this.#tools.sender.drop(item)
    }
  }
}
