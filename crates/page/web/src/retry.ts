// When to try again.

const FIRST = 1_000
const LONGEST = 60_000

const waits = new Set<() => void>()

/** Ends every wait: the network is back. */
export function tryNow(): void {
  for (const end of [...waits]) end()
}

/** Milliseconds before the next attempt: twice as long each time, and not all files at once. */
export function delay(attempt: number, retryAfter: number, random = Math.random()): number {
  const doubled = Math.min(LONGEST, FIRST * 2 ** Math.min(attempt, 10))
  return Math.max(retryAfter * 1000, doubled * (0.75 + random / 2))
}

/** Waits so long, or until the network is back. Rejects if `signal` is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      waits.delete(end)
      reject(new DOMException('stopped', 'AbortError'))
    }
    const end = () => {
      clearTimeout(timer)
      waits.delete(end)
      signal.removeEventListener('abort', stop)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    waits.add(end)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}
