// The list of files: rows, what is said about them, and what follows their arrival.

import type { Files, Found } from '../files'
import type { Item, State } from '../item'
import type { Ask } from '../page-data'
import { t } from '../text'
import { alarm, announce, announceArrival } from './announce'
import { guess, tick } from './asks'
import { h, setText, show } from './dom'
import { Row } from './row'

const REDRAW = 250
/** For a new state: several files may change together. */
const SOON = 20
const URGENT: State[] = ['failed', 'differs', 'missing', 'unusable']

/** What a person should hear of once. */
const stateOf = (item: Item) => `${item.state} ${URGENT.includes(item.state) ? item.why : ''}`

export class List {
  readonly element: HTMLElement
  #list = h('ul', { class: 'files', id: 'files' })
  #hint = h('p', { class: 'hint' })
  #rows = new Map<Item, Row>()
  #dirty = new Set<Item>()
  #states = new Map<Item, string>()
  #timer: number | undefined
  #isSoon = false

  constructor(
    private files: Files,
    private asks: Ask[],
    private drawn: () => void,
    private arrived: (item: Item) => void,
  ) {
    this.element = h('section', { 'aria-labelledby': 'files-title' }, h('h2', { id: 'files-title', tabindex: -1 }, t('files')), this.#hint, this.#list)
    this.element.hidden = true
    files.onChange((item) => this.#changed(item))
  }

  async add(found: Found[]): Promise<void> {
    if (found.length === 0) return
    const known = await this.files.add(found)
    const texts = []
    if (found.length > known.length) texts.push(t('say.added', { n: found.length - known.length }))
    if (known.length > 0) texts.push(t('say.known', { n: known.length }))
    announce(texts.join(' '))
  }

  #changed(item: Item): void {
    this.#dirty.add(item)
    const isNew = this.#states.get(item) !== stateOf(item)
    if (isNew && !this.#isSoon) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    this.#isSoon ||= isNew
    this.#timer ??= window.setTimeout(() => this.#redraw(), isNew ? SOON : REDRAW)
  }

  #redraw(): void {
    this.#timer = undefined
    this.#isSoon = false
    for (const item of this.#dirty) {
      const row = this.#rows.get(item)
      if (row) row.draw()
      else if (this.files.items.includes(item)) this.#append(item)
      this.#tell(item)
    }
    this.#dirty.clear()
    this.#drawHint()
    show(this.element, this.files.items.length > 0)
    this.drawn()
  }

  #append(item: Item): void {
    if (item.state === 'ready' && !item.ask) item.ask = guess(item.name, this.asks)
    const row = new Row(item, this.files, this.asks, (gone) => this.#remove(gone))
    this.#rows.set(item, row)
    this.#list.append(row.element)
  }

  #remove(item: Item): void {
    const row = this.#rows.get(item)
    const next = row?.element.nextElementSibling ?? row?.element.previousElementSibling
    this.files.forget(item)
    this.#rows.delete(item)
    row?.element.remove()
    const nextRow = [...this.#rows.values()].find((each) => each.element === next)
    if (nextRow) nextRow.focus()
    else document.getElementById('choose-files')?.focus()
    show(this.element, this.files.items.length > 0)
    this.#drawHint()
    this.drawn()
  }

  /** Says once what a person should know of a change. */
  #tell(item: Item): void {
    const now = stateOf(item)
    if (this.#states.get(item) === now) return
    this.#states.set(item, now)
    if (URGENT.includes(item.state) && item.why) alarm(t('label.of', { action: item.name, name: item.why }))
    if (item.state === 'waiting') announce(item.why)
    if (item.state !== 'done' || !item.receipt) return
    announceArrival(item.name)
    tick(item.ask)
    this.arrived(item)
  }

  /** Equal names are allowed, and both files are kept. */
  #drawHint(): void {
    const names = new Map<string, number>()
    for (const { name, state } of this.files.items) {
      if (state === 'ready') names.set(name, (names.get(name) ?? 0) + 1)
    }
    const twice = [...names].filter(([, count]) => count > 1).length
    setText(this.#hint, twice > 0 ? t('equal-names', { n: twice }) : '')
    this.#hint.hidden = twice === 0
  }
}
