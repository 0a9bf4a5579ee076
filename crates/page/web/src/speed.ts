// How fast bytes go, smoothed as a person perceives it.

const SMOOTH = 0.25
const WARM_UP = 3

export class Speed {
  #last: { at: number; sent: number } | null = null
  #rate = 0
  #samples = 0

  /** Takes the bytes sent so far, about once a second. */
  sample(sent: number, at: number): void {
    const last = this.#last
    this.#last = { at, sent }
    if (!last || at <= last.at) return
    // An upload that starts over is no negative speed.
    const rate = (Math.max(0, sent - last.sent) * 1000) / (at - last.at)
    this.#rate = this.#samples === 0 ? rate : this.#rate + SMOOTH * (rate - this.#rate)
    this.#samples += 1
  }

  reset(): void {
    this.#last = null
    this.#rate = 0
    this.#samples = 0
  }

  get bytesPerSecond(): number {
    return this.#rate
  }

  /** Seconds left; null while nobody can tell. */
  left(bytes: number): number | null {
    return this.#samples >= WARM_UP && this.#rate > 1 ? bytes / this.#rate : null
  }
}
