// Computes SHA-256 beside the page. Reads no further than the upload has come, so that both share one pass over the disk and
// a slow network leaves the processor idle. Where a fast network and few cores leave no time for it, the file goes first.

import { sha256 } from '@noble/hashes/sha2.js'
import { createSHA256 } from 'hash-wasm'

import type { FromWorker, ToWorker } from './hashing'

interface Digest {
  update(bytes: Uint8Array): unknown
  digest(): Uint8Array
}

interface Job {
  file: File
  digest: Digest
  done: number
  allowed: number
  /** When the upload was first heard of, and how far it was. */
  first: { at: number; allowed: number } | null
  /** The upload is faster than the digest: it gets all cores until it ends. */
  yields: boolean
  /** The piece that is read while the one before it is hashed. */
  next: Promise<Uint8Array> | null
}

const PIECE = 4 * 1024 * 1024
/** Bytes per second of an upload that the digest cannot follow where both share a few cores. */
const FAST = 100_000_000
/** So long a few cores are the upload's alone, until its speed is known, ms. */
const LOOK = 200
const FEW_CORES = navigator.hardwareConcurrency < 4
const END = 1024 * 1024

const jobs = new Map<string, Job>()
let running = false

const say = (message: FromWorker) => postMessage(message)

let wasm = true
async function newDigest(): Promise<Digest> {
  if (wasm) {
    try {
      const hash = await createSHA256()
      return { update: (bytes) => hash.update(bytes), digest: () => hash.digest('binary') }
    } catch {
      // The browser or its policy has no WebAssembly: half as fast without.
      wasm = false
    }
  }
  return sha256.create()
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
const read = async (part: Blob) => new Uint8Array(await part.arrayBuffer())

async function ends(file: File): Promise<string> {
  const digest = await newDigest()
  digest.update(await read(file.slice(0, END)))
  digest.update(await read(file.slice(Math.max(END, file.size - END))))
  return hex(digest.digest())
}

/** The end of the piece that begins here. */
const endOf = (job: Job, from: number) => Math.min(from + PIECE, job.file.size)

async function step(id: string, job: Job): Promise<void> {
  const to = endOf(job, job.done)
  if (to > job.done) {
    const piece = await (job.next ?? read(job.file.slice(job.done, to)))
    job.next = to < Math.min(job.allowed, job.file.size) ? read(job.file.slice(to, endOf(job, to))) : null
    // Whoever awaits it hears of its failure; if it is cancelled, nobody does.
    job.next?.catch(() => {})
    job.digest.update(piece)
  }
  job.done = to
  if (to === job.file.size && jobs.get(id) === job) {
    jobs.delete(id)
    say({ kind: 'digest', id, hex: hex(job.digest.digest()) })
  }
}

function isDue(job: Job): boolean {
  if (job.allowed >= job.file.size) return true
  return !job.yields && job.done < job.allowed
}

/** Decides on few cores whether the digest waits for the upload. */
function weigh(job: Job): void {
  if (!FEW_CORES) return
  const now = performance.now()
  job.first ??= { at: now, allowed: job.allowed }
  const [took, sent] = [now - job.first.at, job.allowed - job.first.allowed]
  job.yields = took < LOOK || (sent * 1000) / took > FAST
}

/** One piece of each file in turn. */
async function run(): Promise<void> {
  if (running) return
  running = true
  for (let due = true; due; ) {
    due = false
    for (const [id, job] of jobs) {
      if (!isDue(job)) continue
      due = true
      try {
        await step(id, job)
      } catch {
        jobs.delete(id)
        say({ kind: 'unreadable', id })
      }
    }
  }
  running = false
}

async function take(message: ToWorker): Promise<void> {
  const { id } = message
  if (message.kind === 'ends') {
    try {
      say({ kind: 'ends', id, hex: await ends(message.file) })
    } catch {
      say({ kind: 'unreadable', id })
    }
  } else if (message.kind === 'begin') {
    const digest = await newDigest()
    jobs.set(id, { file: message.file, digest, done: 0, allowed: message.allowed, first: null, yields: FEW_CORES, next: null })
  } else if (message.kind === 'allow') {
    const job = jobs.get(id)
    if (job) {
      job.allowed = Math.max(job.allowed, message.upTo)
      weigh(job)
    }
  } else {
    jobs.delete(id)
  }
  void run()
}

// One message after the other: the next may be about a job that this one begins.
let last = Promise.resolve()
addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  last = last.then(() => take(data))
})
