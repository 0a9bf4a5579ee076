// A receipt in words, and as a file to keep.

import type { Receipt } from '../item'
import { bytes, size, t, time } from '../text'
import { button, h } from './dom'

const KB = 1000

/** Whether the ticket has been told. */
export function deliveryOf(receipt: Receipt): string {
  const ticket = receipt.ticket ?? ''
  if (receipt.delivery === 'done') return t('delivery.done', { ticket })
  if (receipt.delivery === 'undeliverable') return t('delivery.undeliverable')
  return t('delivery.pending', { ticket })
}

function sizeOf(receipt: Receipt): string {
  const count = receipt.size ?? 0
  return count < KB ? bytes(count) : t('receipt.size.value', { size: size(count), bytes: bytes(count) })
}

const placeOf = (receipt: Receipt) => (receipt.destination ? t(`place.${receipt.destination}`) : '')

export function receiptList(receipt: Receipt): HTMLElement {
  const rows: [string, Node | string][] = [
    [t('receipt.size'), sizeOf(receipt)],
    [t('receipt.sha256'), h('code', { class: 'digest' }, receipt.sha256 ?? '')],
    [t('receipt.place'), placeOf(receipt)],
    [t('receipt.ticket'), receipt.ticket ?? ''],
    [t('receipt.delivery'), h('span', { class: 'delivery' }, deliveryOf(receipt))],
    [t('receipt.received'), receipt.received_at ? time(receipt.received_at) : ''],
    [t('receipt.until'), receipt.expires_at ? time(receipt.expires_at) : t('receipt.until.ticket')],
    [t('receipt.id'), h('code', {}, receipt.id)],
  ]
  const list = h('dl', { class: 'receipt' })
  for (const [term, value] of rows) list.append(h('div', {}, h('dt', {}, term), h('dd', {}, value)))
  return list
}

export function downloadButton(receipt: () => Receipt | null, name: string): HTMLButtonElement {
  const label = t('label.of', { action: t('receipt.download'), name })
  return button(t('receipt.download'), () => download(receipt()), { 'aria-label': label })
}

function download(receipt: Receipt | null): void {
  if (!receipt) return
  const text = `${JSON.stringify(receipt, null, 2)}\n`
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  const link = h('a', { href: url, download: `${receipt.name}.receipt.json` })
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
