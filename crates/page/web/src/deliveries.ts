// Watches whether tickets have been told of files that arrived. Asks less and less often, and not forever.

import type { Gateway } from './gateway'
import type { Item } from './item'

const FIRST = 1_000
const LONGEST = 30_000
const GIVE_UP = 30 * 60_000
/** Above so many, one question about all is cheaper. */
const FEW = 3

export class Deliveries {
  #pending = new Map<Item, number>()
  #wait = FIRST
  #timer: number | undefined

  constructor(
    private gateway: Gateway,
    private canList: boolean,
    private changed: (item: Item) => void,
  ) {}

  watch(item: Item): void {
    if (item.receipt?.delivery !== 'pending') return
    this.#pending.set(item, Date.now())
    this.#wait = FIRST
    clearTimeout(this.#timer)
    this.#timer = window.setTimeout(() => void this.#look(), this.#wait)
  }

  async #look(): Promise<void> {
    try {
      if (this.canList && this.#pending.size > FEW) await this.#lookAtAll()
      else for (const item of [...this.#pending.keys()]) await this.#lookAt(item)
    } catch {
      // Asked again later.
    }
    for (const [item, since] of this.#pending) if (Date.now() - since > GIVE_UP) this.#pending.delete(item)
    this.#wait = Math.min(LONGEST, this.#wait * 1.6)
    if (this.#pending.size > 0) this.#timer = window.setTimeout(() => void this.#look(), this.#wait)
  }

  async #lookAt(item: Item): Promise<void> {
    if (!item.receipt) return
    const { receipt } = await this.gateway.receipt(item.receipt.id)
    this.#take(item, receipt)
  }

  async #lookAtAll(): Promise<void> {
    const { uploads } = await this.gateway.received()
    const byId = new Map(uploads.map((receipt) => [receipt.id, receipt]))
    for (const item of [...this.#pending.keys()]) {
      const found = item.receipt && byId.get(item.receipt.id)
      if (found) this.#take(item, found)
      else await this.#lookAt(item)
    }
  }

  #take(item: Item, receipt: NonNullable<Item['receipt']>): void {
    if (receipt.delivery === 'pending') return
    this.#pending.delete(item)
    item.receipt = receipt
    this.changed(item)
  }
}
