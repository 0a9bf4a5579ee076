// What has arrived on this link, and how to remove it where the link may.

import { type Gateway, Refusal } from '../gateway'
import type { Receipt } from '../item'
import { size, t, time } from '../text'
import { alarm, announce } from './announce'
import { button, h, nameOf } from './dom'
import { deliveryOf, downloadButton, receiptList } from './receipt'

const LATER = 1_000
/** Rows that are shown at first, and with each "more". */
const SLICE = 10

export class Received {
  readonly element: HTMLElement
  #list = h('ul', { class: 'files', id: 'received' })
  #none = h('p', {}, t('received.none'))
  #more: HTMLButtonElement
  #cursor: string | null = null
  #known: Receipt[] = []
  #shown = SLICE
  #rows = new Map<string, HTMLLIElement>()
  #timer: number | undefined

  constructor(
    private gateway: Gateway,
    private canRemove: boolean,
  ) {
    this.#more = button(t('received.more'), () => void this.#showMore())
    this.#more.hidden = true
    this.element = h(
      'section',
      { 'aria-labelledby': 'received-title' },
      h('h2', { id: 'received-title', tabindex: -1 }, t('received')),
      this.#none,
      this.#list,
      h('p', {}, this.#more),
    )
    void this.#load(null)
  }

  /** Reads the list again, once for many files. */
  refresh(): void {
    clearTimeout(this.#timer)
    this.#timer = window.setTimeout(() => void this.#load(null), LATER)
  }

  async #showMore(): Promise<void> {
    this.#shown += SLICE
    if (this.#shown > this.#known.length && this.#cursor) await this.#load(this.#cursor)
    else this.#draw()
  }

  async #load(cursor: string | null): Promise<void> {
    try {
      const { uploads, next_cursor } = await this.gateway.received(cursor ?? undefined)
      this.#known = cursor ? [...this.#known, ...uploads] : uploads
      this.#cursor = next_cursor
    } catch {
      // The list is an extra: a later refresh brings it.
    }
    this.#draw()
  }

  /** Rows that are the same stay, with whatever is open or has the focus. */
  #draw(): void {
    const visible = this.#known.slice(0, this.#shown)
    const keys = visible.map((receipt) => `${receipt.id} ${receipt.delivery}`)
    for (const [key, row] of this.#rows) {
      if (keys.includes(key)) continue
      row.remove()
      this.#rows.delete(key)
    }
    let before = this.#list.firstElementChild
    visible.forEach((receipt, index) => {
      const key = keys[index] ?? ''
      const row = this.#rows.get(key) ?? this.#row(receipt)
      this.#rows.set(key, row)
      if (row === before) before = row.nextElementSibling
      else this.#list.insertBefore(row, before)
    })
    this.#more.hidden = this.#cursor === null && this.#known.length <= this.#shown
    this.#none.hidden = visible.length > 0
  }

  #row(receipt: Receipt): HTMLLIElement {
    const label = t('label.of', { action: t('do.remove'), name: receipt.name })
    const remove = button(t('do.remove'), () => this.#confirm(receipt), { 'aria-label': label })
    const facts = [receipt.received_at ? time(receipt.received_at) : '', deliveryOf(receipt)].filter(Boolean).join(' · ')
    return h(
      'li',
      { class: 'file', 'data-receipt': receipt.id },
      h('div', { class: 'head' }, h('h3', {}, nameOf(receipt.name)), h('span', { class: 'size' }, size(receipt.size ?? 0))),
      h('p', { class: 'status' }, facts),
      h('details', {}, h('summary', {}, t('receipt.title')), receiptList(receipt)),
      h('div', { class: 'buttons' }, downloadButton(() => receipt, receipt.name), this.canRemove ? remove : null),
    )
  }

  #confirm(receipt: Receipt): void {
    const dialog = h('dialog', { 'aria-labelledby': 'remove-title' })
    const close = () => {
      dialog.close()
      dialog.remove()
    }
    dialog.append(
      h('h2', { id: 'remove-title' }, t('remove.title', { name: receipt.name })),
      h('p', {}, t('remove.text')),
      h(
        'div',
        { class: 'buttons' },
        button(t('remove.keep'), close),
        button(t('do.remove'), () => {
          close()
          void this.#remove(receipt)
        }, { class: 'danger' }),
      ),
    )
    dialog.addEventListener('close', () => dialog.remove())
    document.body.append(dialog)
    dialog.showModal()
  }

  async #remove(receipt: Receipt): Promise<void> {
    try {
      await this.gateway.remove(receipt.id)
      this.#known = this.#known.filter((each) => each !== receipt)
      this.#draw()
      announce(t('say.removed', { name: receipt.name }))
      document.getElementById('received-title')?.focus()
    } catch (error) {
      alarm(error instanceof Refusal && error.message ? error.message : t('broken'))
    }
  }
}
