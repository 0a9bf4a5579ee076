// One file in the list.

import type { Files } from '../files'
import { type Item, type State, hasEnded } from '../item'
import { suggest } from '../names'
import type { Ask } from '../page-data'
import { percent, size, t, time } from '../text'
import { askSelect } from './asks'
import { pickOne } from './choose'
import { button, h, nameOf, setText, show } from './dom'
import { deliveryOf, downloadButton, receiptList } from './receipt'

const MOVING: State[] = ['queued', 'sending', 'waiting']
const WITH_BAR: State[] = ['queued', 'sending', 'waiting', 'paused', 'elsewhere', 'checking', 'missing']

export class Row {
  readonly element: HTMLLIElement
  #status = h('p', { class: 'status' })
  #bar: HTMLProgressElement
  #extra = h('div', { class: 'extra' })
  #buttons: Record<string, HTMLButtonElement> = {}
  #title: HTMLElement
  #box = h('div', { class: 'buttons' })
  #download: HTMLButtonElement | null = null
  #drawn = ''

  constructor(
    private item: Item,
    private files: Files,
    private asks: Ask[],
    private remove: (item: Item) => void,
  ) {
    this.#bar = h('progress', { max: 1, value: 0, 'aria-label': t('label.of', { action: t('progress'), name: item.name }) })
    this.#title = h('h3', { tabindex: -1 }, nameOf(item.name))
    const actions: [string, () => unknown][] = [
      ['pause', () => this.files.pause(item)],
      ['resume', () => this.files.resume(item)],
      ['continue', () => void this.#continue()],
      ['reselect', () => void this.#reselect()],
      ['again', () => this.files.again(item)],
      ['cancel', () => void this.files.cancel(item)],
      ['dismiss', () => this.remove(item)],
    ]
    for (const [name, act] of actions) {
      const text = t(`do.${name}`)
      const label = t('label.of', { action: text, name: item.name })
      const made = button(text, act, { 'aria-label': label, 'data-do': name })
      this.#buttons[name] = made
      this.#box.append(made)
    }
    this.element = h(
      'li',
      { class: 'file', 'data-id': item.id },
      h('div', { class: 'head' }, this.#title, h('span', { class: 'size' }, size(item.size))),
      item.folder ? h('p', { class: 'folder' }, `${t('folder')} `, nameOf(item.folder)) : null,
      this.#status,
      this.#bar,
      this.#extra,
      this.#box,
    )
    this.draw()
  }

  focus(): void {
    this.#title.focus()
  }

  draw(): void {
    const { item } = this
    this.element.dataset.state = item.state
    setText(this.#status, statusOf(item))
    show(this.#bar, WITH_BAR.includes(item.state))
    this.#bar.value = item.size ? item.sent / item.size : 0
    const visible: Record<string, boolean> = {
      pause: MOVING.includes(item.state),
      resume: item.state === 'paused',
      continue: item.state === 'missing' && item.handle !== null,
      reselect: item.state === 'missing',
      again: item.state === 'failed' || item.state === 'differs',
      cancel: [...MOVING, 'paused', 'elsewhere', 'missing'].includes(item.state),
      dismiss: item.state === 'ready' || item.state === 'unusable' || hasEnded(item),
    }
    const focused = this.element.contains(document.activeElement)
    for (const [name, each] of Object.entries(this.#buttons)) show(each, visible[name] ?? false)
    this.#drawExtra()
    const now = document.activeElement
    // Firefox takes the focus from a hidden button only with the next frame.
    if (focused && (!this.element.contains(now) || now?.closest('[hidden]'))) this.#title.focus()
  }

  /** What a state adds. Made anew only when it changes, so that nothing is lost while somebody types. */
  #drawExtra(): void {
    const { item } = this
    const key = `${item.state} ${item.receipt?.delivery ?? ''}`
    if (key === this.#drawn) return
    this.#drawn = key
    setText(this.#title.firstElementChild ?? this.#title, item.name)
    this.#extra.replaceChildren()
    if (item.state === 'unusable' && !this.files.isTooLarge(item)) this.#extra.append(this.#renameField())
    if (item.state === 'ready' && this.asks.length > 0) this.#extra.append(askSelect(item, this.asks))
    if (item.receipt) {
      this.#extra.append(
        h('details', {}, h('summary', {}, t('receipt.title')), receiptList(item.receipt)),
      )
      if (!this.#download) this.#box.prepend((this.#download = downloadButton(() => item.receipt ?? null, item.name)))
    }
  }

  #renameField(): HTMLElement {
    const { item } = this
    const id = `name-${item.id}`
    const input = h('input', { id, value: suggest(item.name), maxlength: 255, dir: 'auto' })
    const rename = () => this.files.rename(item, input.value)
    const enter = (event: KeyboardEvent) => {
      if (event.key !== 'Enter') return
      // Not the form's "send".
      event.preventDefault()
      rename()
    }
    input.addEventListener('keydown', enter)
    const label = t('label.of', { action: t('do.rename'), name: suggest(item.name) })
    return h(
      'p',
      { class: 'rename' },
      h('label', { for: id }, t('rename.label')),
      input,
      button(t('do.rename'), rename, { 'aria-label': label, 'data-do': 'rename' }),
    )
  }

  /** Opens the file that the browser remembers, after one question of permission. */
  async #continue(): Promise<void> {
    const handle = this.item.handle as (FileSystemFileHandle & { requestPermission?: (o: object) => Promise<string> }) | null
    try {
      const state = await handle?.requestPermission?.({ mode: 'read' })
      if (state === 'denied') return
      const file = await handle?.getFile()
      if (file) await this.files.reselect(this.item, file, handle)
    } catch {
      // It was moved or deleted: the person chooses it again.
      this.item.handle = null
      this.item.why = t('missing.moved')
      this.files.changed(this.item)
    }
  }

  async #reselect(): Promise<void> {
    const found = await pickOne()
    if (found) await this.files.reselect(this.item, found.file, found.handle)
  }
}

function statusOf(item: Item): string {
  const part = percent(item.size ? Math.floor((item.sent / item.size) * 100) / 100 : 0)
  const progress = { part, sent: size(item.sent), size: size(item.size) }
  switch (item.state) {
    case 'ready':
      return item.size === 0 ? t('state.ready.empty') : t('state.ready')
    case 'sending':
      return t('state.sending', progress)
    case 'paused':
      return t('state.paused', progress)
    case 'waiting':
      return `${item.why} ${t('state.waiting')}`
    case 'missing': {
      const until = item.keptUntil ? t('missing.until', { time: time(item.keptUntil) }) : ''
      return item.why || `${t('state.missing', progress)} ${until}`.trim()
    }
    case 'done':
      return doneOf(item)
    case 'queued':
    case 'cancelled':
      return t(`state.${item.state}`)
    default:
      return item.why
  }
}

function doneOf(item: Item): string {
  const parts = [item.sha256 ? t('state.done.compared') : t('state.done')]
  if (!item.receipt) return parts.join(' ')
  if (item.uploadId && item.receipt.id !== item.uploadId) parts.push(t('state.done.before'))
  return [...parts, deliveryOf(item.receipt)].join(' ')
}
