// The page's side of the worker that computes digests.

export type ToWorker =
  | { kind: 'ends'; id: string; file: File }
  | { kind: 'begin'; id: string; file: File; allowed: number }
  | { kind: 'allow'; id: string; upTo: number }
  | { kind: 'stop'; id: string }

export type FromWorker =
  | { kind: 'ends' | 'digest'; id: string; hex: string }
  | { kind: 'unreadable'; id: string }

/** The file changed, moved, or may no longer be read. */
export class Unreadable extends Error {}

/** Digests may run this far ahead of the upload. */
const AHEAD = 16 * 1024 * 1024

interface Waiter {
  promise: Promise<string>
  resolve(hex: string): void
  reject(error: Error): void
}

export class Hashing {
  #worker: Worker
  #waiters = new Map<string, Waiter>()
  #broken = false
  #count = 0

  constructor(url: string) {
    this.#worker = new Worker(url)
    this.#worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      const waiter = this.#waiters.get(data.id)
      this.#waiters.delete(data.id)
      if (data.kind === 'unreadable') waiter?.reject(new Unreadable())
      else waiter?.resolve(data.hex)
    })
    // Without it files are still sent; only the comparison here is left out.
    this.#worker.addEventListener('error', () => {
      this.#broken = true
      for (const waiter of this.#waiters.values()) waiter.resolve('')
      this.#waiters.clear()
    })
  }

  /** Digest of the first and the last MiB; '' if none can be computed here. */
  ends(file: File): Promise<string> {
    const id = `ends ${(this.#count += 1)}`
    return this.#ask({ kind: 'ends', id, file }).promise
  }

  /** Begins the digest of a whole file. */
  begin(file: File): Running {
    const id = `file ${(this.#count += 1)}`
    const { promise } = this.#ask({ kind: 'begin', id, file, allowed: 0 })
    // Whoever cancels does not wait for it.
    promise.catch(() => {})
    return {
      digest: promise,
      follow: (sent) => this.#worker.postMessage({ kind: 'allow', id, upTo: sent + AHEAD }),
      stop: () => {
        this.#waiters.delete(id)
        this.#worker.postMessage({ kind: 'stop', id })
      },
    }
  }

  #ask(message: ToWorker): Waiter {
    const waiter = deferred()
    if (this.#broken) waiter.resolve('')
    else {
      this.#waiters.set(message.id, waiter)
      this.#worker.postMessage(message)
    }
    return waiter
  }
}

/** A digest that is being computed. */
export interface Running {
  /** Hex; '' if none can be computed here. */
  digest: Promise<string>
  /** Tells how far the upload has come. */
  follow(sent: number): void
  stop(): void
}

function deferred(): Waiter {
  let resolve: Waiter['resolve'] = () => {}
  let reject: Waiter['reject'] = () => {}
  const promise = new Promise<string>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
