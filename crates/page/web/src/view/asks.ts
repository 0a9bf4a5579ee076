// What support asks for: which file is which.

import type { Item } from '../item'
import type { Ask } from '../page-data'
import { t } from '../text'
import { h } from './dom'

/** Shorter words, such as "the" and "log", tell nothing. */
const wordsOf = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]{4,}/gu) ?? []

/** What the gateway calls a file that is nothing of what support asks for. */
const NONE = 'none'

/** The ask whose words stand in a file's name; '' if none does. */
export function guess(name: string, asks: Ask[]): string {
  const inName = wordsOf(name)
  let best = { id: '', score: 0 }
  for (const ask of asks) {
    const score = wordsOf(ask.text).filter((word) => inName.some((part) => part.startsWith(word))).join('').length
    if (!ask.arrived && score > best.score) best = { id: ask.id, score }
  }
  return best.id
}

export function askSelect(item: Item, asks: Ask[]): HTMLElement {
  const id = `ask-${item.id}`
  const select = h('select', { id })
  const others = [{ id: NONE, text: t('asks.something-else') }]
  for (const { id: value, text } of [{ id: '', text: t('asks.by-name') }, ...asks, ...others]) {
    select.append(h('option', { value, selected: value === item.ask }, text))
  }
  select.addEventListener('change', () => {
    item.ask = select.value
  })
  return h('p', { class: 'ask' }, h('label', { for: id }, t('asks.this-is'), ' ', h('span', { class: 'hidden-visually' }, item.name)), select)
}

/** Ticks what has arrived, in the list that the server has written. */
export function tick(id: string): void {
  const entry = id && document.querySelector<HTMLElement>(`#asks [data-ask="${CSS.escape(id)}"]`)
  if (!entry || entry.dataset.arrived === 'true') return
  entry.dataset.arrived = 'true'
  const state = entry.querySelector('.ask-state')
  if (state) state.textContent = t('asks.arrived')
}
