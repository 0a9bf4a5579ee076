// One file on the page, from its choice to its receipt.

export type State =
  | 'ready' // Chosen, not sent yet.
  | 'unusable' // Cannot be sent as it is: its name or its size is refused.
  | 'missing' // Begun earlier; the browser no longer has the file.
  | 'queued'
  | 'sending'
  | 'paused'
  | 'waiting' // Tries again by itself.
  | 'elsewhere' // Another tab sends it.
  | 'checking' // All bytes are there; waits for the receipt and the digest.
  | 'done'
  | 'differs' // What arrived is not what this browser read.
  | 'failed'
  | 'cancelled'

export interface Receipt {
  id: string
  name: string
  size: number | null
  sha256: string | null
  partner: string | null
  ticket: string | null
  destination: 'ticket-attachment' | 'support-uploader' | 'partner-bucket' | null
  delivery: 'pending' | 'done' | 'undeliverable' | null
  received_at: string | null
  expires_at: string | null
  checked: string[] | null
  /** Only of an unfinished upload. */
  state?: 'open' | 'completing' | 'cancelled' | 'removed'
  offset?: number
  length?: number | null
}

/** How the file is found again after a reload. */
export type Handle = FileSystemFileHandle

export interface Item {
  readonly id: string
  readonly fileName: string
  /** Folder in which it was chosen, or ''. */
  readonly folder: string
  readonly size: number
  readonly modified: number
  readonly type: string
  /** Name under which it is sent. */
  name: string
  file: File | null
  handle: Handle | null
  state: State
  /** Why it is in this state, in words. */
  why: string
  /** Bytes on their way or there. */
  sent: number
  uploadId: string | null
  /** Until when an unfinished upload is kept, milliseconds. */
  keptUntil: number | null
  /** Digest of its start and its end. */
  ends: string | null
  sha256: string | null
  receipt: Receipt | null
  /** What support asked for that this is, or ''. */
  ask: string
  ticket: string | null
  stop: AbortController
}

const ACTIVE: State[] = ['queued', 'sending', 'waiting', 'elsewhere', 'checking']

/** Leaving the page now would interrupt it. */
export const isActive = (item: Item) => ACTIVE.includes(item.state)

export const hasEnded = (item: Item) => ['done', 'differs', 'failed', 'cancelled'].includes(item.state)

let count = 0

/** A file before it is sent. */
export function newItem(
  of: Pick<Item, 'fileName' | 'folder' | 'size' | 'modified' | 'type'>,
  name: string,
  file: File | null,
  handle: Handle | null,
): Item {
  const { fileName, folder, size, modified, type } = of
  return {
    id: `f${(count += 1)}`,
    fileName,
    folder,
    size,
    modified,
    type,
    name,
    file,
    handle,
    state: 'ready',
    why: '',
    sent: 0,
    uploadId: null,
    keptUntil: null,
    ends: null,
    sha256: null,
    receipt: null,
    ask: '',
    ticket: null,
    stop: new AbortController(),
  }
}
