// What this browser remembers of uploads: which file, and where it was sent. No contents, and no secret.

import type { Handle } from './item'

export interface Kept {
  /** Link and file; see `keyOf`. */
  key: string
  link: string
  fileName: string
  folder: string
  size: number
  modified: number
  type: string
  name: string
  uploadId: string
  ends: string | null
  ask: string
  ticket: string | null
  handle: Handle | null
  begunAt: number
  /**
   * `open`: to be continued. `done`: arrived; spares a second tab or a second try the bytes. `unwanted`: cancelled here, but
   * the gateway may not know yet.
   */
  state: 'open' | 'done' | 'unwanted'
}

export interface Identity {
  fileName: string
  folder: string
  size: number
  modified: number
}

export const keyOf = (link: string, { fileName, folder, size, modified }: Identity) =>
  JSON.stringify([link, folder, fileName, size, modified])

const DATABASE = 'weighbridge'
const STORE = 'unfinished'

/** Without IndexedDB, as in some private windows, nothing is remembered and everything else works. */
export class Shelf {
  #database: Promise<IDBDatabase | null>

  constructor(readonly link: string) {
    this.#database = new Promise((resolve) => {
      try {
        const request = indexedDB.open(DATABASE, 1)
        request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'key' })
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => resolve(null)
        request.onblocked = () => resolve(null)
      } catch {
        resolve(null)
      }
    })
  }

  async all(): Promise<Kept[]> {
    const all = ((await this.#do('readonly', (store) => store.getAll())) ?? []) as Kept[]
    return all.filter((kept) => kept.link === this.link)
  }

  async get(identity: Identity): Promise<Kept | null> {
    const key = keyOf(this.link, identity)
    return ((await this.#do('readonly', (store) => store.get(key))) ?? null) as Kept | null
  }

  async put(kept: Kept): Promise<void> {
    const stored = await this.#do('readwrite', (store) => store.put(kept))
    // Some browsers cannot store a handle.
    if (stored === null && kept.handle) await this.#do('readwrite', (store) => store.put({ ...kept, handle: null }))
  }

  async drop(identity: Identity): Promise<void> {
    const key = keyOf(this.link, identity)
    await this.#do('readwrite', (store) => store.delete(key))
  }

  async #do<T>(mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
    const database = await this.#database
    if (!database) return null
    return new Promise((resolve) => {
      try {
        const transaction = database.transaction(STORE, mode, { durability: 'relaxed' })
        const request = what(transaction.objectStore(STORE))
        transaction.oncomplete = () => resolve(request.result)
        transaction.onabort = () => resolve(null)
        transaction.onerror = () => resolve(null)
      } catch {
        resolve(null)
      }
    })
  }
}
