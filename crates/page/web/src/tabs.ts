// Two tabs with the same file take turns.

/** Runs `work` while no other tab holds `name`. Calls `busy` if one does, then waits. */
export async function alone<T>(name: string, signal: AbortSignal, busy: () => void, work: () => Promise<T>): Promise<T> {
  // Only pages from HTTPS or this machine have locks.
  if (!('locks' in navigator)) return work()
  const first = await navigator.locks.request(name, { ifAvailable: true }, async (lock) =>
    lock ? { value: await work() } : null,
  )
  if (first) return first.value
  busy()
  return navigator.locks.request(name, { signal }, work) as Promise<T>
}

/** Whether another tab holds `name`. */
export async function isTaken(name: string): Promise<boolean> {
  if (!('locks' in navigator)) return false
  const { held } = await navigator.locks.query()
  return held?.some((lock) => lock.name === name) ?? false
}
