// Keeps the screen on while files are sent, warns before the page is left, and notices that the machine slept.

let lock: WakeLockSentinel | null = null
let wanted = false

async function hold(): Promise<void> {
  if (!wanted || lock || document.visibilityState !== 'visible' || !('wakeLock' in navigator)) return
  try {
    const taken = await navigator.wakeLock.request('screen')
    taken.addEventListener('release', () => {
      if (lock === taken) lock = null
    })
    if (wanted) lock = taken
    else await taken.release()
  } catch {
    // Low battery, or not allowed.
  }
}

document.addEventListener('visibilitychange', () => void hold())

const warn = (event: BeforeUnloadEvent) => event.preventDefault()

/** Whether files are on their way. */
export function setSending(sending: boolean): void {
  if (sending === wanted) return
  wanted = sending
  if (sending) {
    addEventListener('beforeunload', warn)
    void hold()
  } else {
    removeEventListener('beforeunload', warn)
    void lock?.release().catch(() => {})
    lock = null
  }
}

const TICK = 5_000
/** In a hidden tab a browser lets a timer run once a minute. */
const ASLEEP = 150_000

/** Calls `woke` when the network comes back, or the machine after sleep. */
export function onReturn(woke: (slept: boolean) => void): void {
  addEventListener('online', () => woke(false))
  let last = Date.now()
  setInterval(() => {
    const slept = Date.now() - last > ASLEEP
    last = Date.now()
    if (slept) woke(true)
  }, TICK)
}
