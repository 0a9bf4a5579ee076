// Requests to the gateway, other than the bytes of files.

import type { Receipt } from './item'
import { problemText } from './text'

/** A field of a form, and what is wrong with it. */
export interface FieldError {
  field: string
  detail: string
}

/** A refusal: problem details (RFC 9457). */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    detail: string,
    /** Seconds, or 0. */
    readonly retryAfter: number,
    readonly fields: FieldError[] = [],
  ) {
    super(detail)
  }
}

const PASSING = [408, 423, 425, 429]

/** Whether the same request may succeed later. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Refusal)) return true
  const { status, type } = error
  // Of all conflicts only a wrong offset passes, whose type is not ours.
  if (status === 409) return !type.startsWith('/problems/')
  return status === 0 || status >= 500 || PASSING.includes(status) || type === '/problems/interrupted'
}

export const isGone = (error: unknown) => error instanceof Refusal && [404, 410].includes(error.status)

export function refusalOf(status: number, body: string, retryAfter: string | null): Refusal {
  let problem: { type?: string; detail?: string; errors?: FieldError[] } = {}
  try {
    problem = JSON.parse(body) as typeof problem
  } catch {
    // A proxy answered, not the gateway.
  }
  // The command that resumes is for a terminal: the page resumes by itself.
  const detail = problem.detail?.split(' To resume: ')[0] ?? ''
  const type = problem.type ?? ''
  return new Refusal(status, type, problemText(type, detail), Number(retryAfter) || 0, problem.errors ?? [])
}

export class Gateway {
  readonly uploads: URL
  readonly #link: URL
  constructor(path: string) {
    // Without the user name and password that may stand in the page's own address.
    this.#link = new URL(path, location.origin)
    this.uploads = new URL('uploads', this.#link)
  }

  address(id: string): string {
    return `${this.uploads.href}/${encodeURIComponent(id)}`
  }

  /** The receipt, or the state so far. */
  async receipt(id: string, signal?: AbortSignal): Promise<{ receipt: Receipt; keptUntil: number | null }> {
    const answer = await this.#ask(this.address(id), { signal: signal ?? null })
    const age = /max-age=(\d+)/.exec(answer.headers.get('upload-limit') ?? '')?.[1]
    const keptUntil = age === undefined ? null : Date.now() + Number(age) * 1000
    return { receipt: (await answer.json()) as Receipt, keptUntil }
  }

  /** What has arrived on this link, newest first. */
  async received(cursor?: string): Promise<{ uploads: Receipt[]; next_cursor: string | null }> {
    const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : ''
    return (await this.#ask(this.uploads.href + query)).json() as Promise<{
      uploads: Receipt[]
      next_cursor: string | null
    }>
  }

  /** Cancels an unfinished upload, or removes a file. One that is gone is as good as removed. */
  async remove(id: string): Promise<void> {
    try {
      await this.#ask(this.address(id), { method: 'DELETE' })
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  /** Sends the fields of a form. */
  async post(path: string, fields: Record<string, string>): Promise<Record<string, unknown>> {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(fields) }
    return (await this.#ask(new URL(path, this.#link).href, init)).json() as Promise<Record<string, unknown>>
  }

  async #ask(url: string, init: RequestInit = {}): Promise<Response> {
    const headers = { accept: 'application/json', ...(init.headers as Record<string, string> | undefined) }
    const answer = await fetch(url, { ...init, headers, cache: 'no-store', referrerPolicy: 'no-referrer' })
    if (!answer.ok) throw refusalOf(answer.status, await answer.text(), answer.headers.get('retry-after'))
    return answer
  }
}
