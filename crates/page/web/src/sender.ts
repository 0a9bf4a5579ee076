// Sends the bytes of files, by Uppy and tus. One file is one upload and one stream.

import Uppy, { type UppyFile } from '@uppy/core'
import Tus from '@uppy/tus'
import { DefaultHttpStack, type FileReader, type HttpRequest, type HttpResponse, type HttpStack } from 'tus-js-client'

import { type Gateway, Refusal, refusalOf } from './gateway'
import type { Item } from './item'

type Meta = { filename: string; filetype: string; folder: string; ask: string; relativePath: string }
type Sent = UppyFile<Meta, Record<string, never>>

/** Files that are sent side by side: a browser has six connections to a host, and the page needs some. */
const AT_A_TIME = 3
const FOLDER_LENGTH_MAX = 500

/** Sends to where the page came from, even if the gateway names itself by another host. */
class SameOrigin implements HttpStack {
  #stack = new DefaultHttpStack({})
  createRequest(method: string, url: string): HttpRequest {
    const { pathname, search } = new URL(url, location.href)
    return this.#stack.createRequest(method, location.origin + pathname + search)
  }
  getName(): string {
    return 'SameOrigin'
  }
}

/** Gives the file itself where tus would cut a piece of the same size: Chromium sends a piece at half the speed. */
const wholeFile: FileReader = {
  openFile: (file: File) => Promise.resolve({
    size: file.size,
    slice: (from: number, to: number) => Promise.resolve({
      value: from === 0 && to >= file.size ? file : file.slice(from, to),
      done: to >= file.size,
    }),
    close: () => {},
  }),
}

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

export class Sender {
  #uppy: Uppy<Meta, Record<string, never>>
  #tus: Tus<Meta, Record<string, never>>
  #items = new Map<string, Item>()
  #waiters = new Map<string, Waiter>()

  constructor(
    private gateway: Gateway,
    private changed: (item: Item) => void,
  ) {
    this.#uppy = new Uppy<Meta, Record<string, never>>({ id: 'w', allowMultipleUploadBatches: true })
    this.#uppy.use(Tus, {
      endpoint: gateway.uploads.href,
      limit: AT_A_TIME,
      // What to try again, and when, is decided in course.ts.
      retryDelays: [],
      storeFingerprintForResuming: false,
      httpStack: new SameOrigin(),
      fileReader: wholeFile,
      onBeforeRequest: (request, file) => this.#begins(request, file as Sent),
    })
    this.#tus = this.#uppy.getPlugin('Tus') as Tus<Meta, Record<string, never>>
    this.#uppy.on('upload-progress', (file, progress) => {
      const item = file && this.#items.get(file.id)
      if (!item) return
      item.sent = progress.bytesUploaded || 0
      this.changed(item)
    })
    this.#uppy.on('upload-success', (file) => file && this.#settle(file.id, (waiter) => waiter.resolve()))
    this.#uppy.on('upload-error', (file, error) => {
      if (file) this.#settle(file.id, (waiter) => waiter.reject(reason(error)))
    })
  }

  /** Resolves when the gateway has every byte. Rejects with a `Refusal`, or if the network failed. */
  send(item: Item, file: File): Promise<void> {
    this.drop(item)
    const fields = ['filename', 'filetype']
    if (item.folder && item.folder.length <= FOLDER_LENGTH_MAX) fields.push('folder')
    if (item.ask) fields.push('ask')
    const ticket = item.ticket ? `?ticket=${encodeURIComponent(item.ticket)}` : ''
    const id = this.#uppy.addFile({
      name: item.name,
      type: item.type || 'application/octet-stream',
      data: file,
      meta: {
        filename: item.name,
        filetype: item.type,
        folder: item.folder,
        ask: item.ask,
        // Makes Uppy's id of the file unique.
        relativePath: item.id,
      },
    })
    this.#items.set(id, item)
    this.#uppy.setFileState(id, {
      tus: {
        endpoint: this.gateway.uploads.href + ticket,
        uploadUrl: item.uploadId ? this.gateway.address(item.uploadId) : null,
        allowedMetaFields: fields,
        onAfterResponse: (request: HttpRequest, answer: HttpResponse) => this.#answered(item, request, answer),
      },
    } as Partial<Sent>)
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject })
      this.#uppy.upload().catch(() => {})
    })
  }

  pause(item: Item, paused: boolean): void {
    const id = this.#idOf(item)
    const file = id && this.#uppy.getFile(id)
    if (!file || Boolean(file.isPaused) === paused) return
    try {
      this.#uppy.pauseResume(file.id)
    } catch {
      // Not begun yet: its first request is refused in #begins.
    }
  }

  /** Ends sending, which rejects, and forgets the file. What the gateway has stays. */
  drop(item: Item): void {
    const id = this.#idOf(item)
    if (!id) return
    this.#items.delete(id)
    this.#settle(id, (waiter) => waiter.reject(new Refusal(0, '', '', 0)))
    try {
      if (!this.#uppy.getFile(id).isPaused) this.#uppy.pauseResume(id)
      // Otherwise Uppy cancels the upload, too, and tries that only once.
      delete this.#tus.uploaders[id]
      this.#uppy.removeFile(id)
    } catch {
      // Not begun yet: its first request is refused in #begins.
    }
  }

  #idOf(item: Item): string | undefined {
    return [...this.#items].find(([, each]) => each === item)?.[0]
  }

  #settle(id: string, how: (waiter: Waiter) => void): void {
    const waiter = this.#waiters.get(id)
    this.#waiters.delete(id)
    if (waiter) how(waiter)
  }

  #begins(request: HttpRequest, file: Sent): void {
    const item = this.#items.get(file.id)
    // Uppy misses a pause or a removal that comes before it has begun.
    if (!item || item.state === 'paused') throw new Refusal(0, '', '', 0)
    // The answer is for this program, not for a terminal.
    request.setHeader('Accept', 'application/json')
    if (item.state === 'queued' || item.state === 'waiting') {
      item.state = 'sending'
      this.changed(item)
    }
  }

  async #answered(item: Item, request: HttpRequest, answer: HttpResponse): Promise<void> {
    const status = answer.getStatus()
    // tus-js-client would start a new upload in place of one that only cannot be asked about right now.
    if (request.getMethod() === 'HEAD' && status >= 400) {
      throw new Refusal(status, '', '', Number(answer.getHeader('Retry-After')) || 0)
    }
    const location = answer.getHeader('Location')
    if (request.getMethod() === 'POST' && location && status === 201) {
      item.uploadId = decodeURIComponent(new URL(location, request.getURL()).pathname.split('/').pop() ?? '')
      this.changed(item)
    }
  }
}

/** Why the upload ended: the gateway's refusal, or an error of the network. */
function reason(error: unknown): unknown {
  const outer = error as { cause?: unknown }
  const known = (outer.cause ?? error) as { causingError?: unknown; originalResponse?: HttpResponse | null }
  if (known.causingError instanceof Refusal) return known.causingError
  const answer = known.originalResponse
  if (!answer || !answer.getStatus()) return error
  return refusalOf(answer.getStatus(), answer.getBody() ?? '', answer.getHeader('Retry-After') ?? null)
}
