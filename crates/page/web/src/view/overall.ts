// All files together: progress, speed, time left, and buttons that act on all.

import type { Files } from '../files'
import { type Item, type State, isActive } from '../item'
import { Speed } from '../speed'
import { duration, percent, size, speed, t } from '../text'
import { announce } from './announce'
import { button, h, setText, show } from './dom'

const SECOND = 1_000
/** Percentages that are said aloud. */
const SAID = [25, 50, 75]
const PAUSABLE: State[] = ['queued', 'sending', 'waiting']

export class Overall {
  readonly element: HTMLElement
  readonly send: HTMLButtonElement
  #text = h('p', { class: 'overall-text', id: 'overall-text', tabindex: -1 })
  #bar = h('progress', { max: 1, value: 0, 'aria-labelledby': 'overall-text' })
  #pause: HTMLButtonElement
  #resume: HTMLButtonElement
  #cancel: HTMLButtonElement
  #speed = new Speed()
  #title = document.title
  #said = 0

  constructor(private files: Files) {
    this.send = h('button', { class: 'primary', id: 'send-files' }, t('send'))
    const each = (fits: (item: Item) => boolean, act: (item: Item) => unknown) => () => files.items.filter(fits).forEach(act)
    const canPause = (item: Item) => PAUSABLE.includes(item.state)
    this.#pause = button(t('all.pause'), each(canPause, (item) => files.pause(item)))
    this.#resume = button(t('all.resume'), each((item) => item.state === 'paused', (item) => files.resume(item)))
    const canCancel = (item: Item) => item.state === 'paused' || (isActive(item) && item.state !== 'checking')
    this.#cancel = button(t('all.cancel'), each(canCancel, (item) => void files.cancel(item)))
    const buttons = h('p', { class: 'buttons' }, this.send, this.#pause, this.#resume, this.#cancel)
    this.element = h('div', { class: 'overall' }, this.#text, this.#bar, buttons)
    setInterval(() => this.#tick(), SECOND)
    this.draw()
  }

  draw(): void {
    const { items } = this.files
    const ready = items.filter((item) => item.state === 'ready')
    const active = items.filter(isActive)
    const paused = items.filter((item) => item.state === 'paused')
    const total = ready.reduce((sum, item) => sum + item.size, 0)
    setText(this.send, ready.length ? t('send.files', { n: ready.length, size: size(total) }) : t('send'))
    show(this.#pause, active.some((item) => PAUSABLE.includes(item.state)) && items.length > 1)
    show(this.#resume, paused.length > 1)
    show(this.#cancel, active.length + paused.length > 1)
    const going = [...active, ...paused]
    show(this.#bar, going.length > 0)
    const title = document.getElementById('files-title') ?? undefined
    if (going.length > 0) show(this.#text, true)
    show(this.send, ready.length > 0, going.length > 0 ? this.#text : title)
    show(this.element, going.length + ready.length > 0, title)
    if (going.length === 0) show(this.#text, false, title)
    if (going.length === 0) {
      this.#speed.reset()
      this.#said = 0
      document.title = this.#title
      return
    }
    const { sent, all } = this.#sums()
    const part = all ? sent / all : 0
    this.#bar.value = part
    setText(this.#text, this.#words(going, sent, all))
    document.title = `${percent(Math.floor(part * 100) / 100)} – ${this.#title}`
    this.#say(part)
  }

  /** Of the files on their way and those that arrived with them. */
  #sums(): { sent: number; all: number } {
    const counted = this.files.items.filter((item) => isActive(item) || item.state === 'paused' || item.state === 'done')
    const sum = (of: (item: Item) => number) => counted.reduce((total, item) => total + of(item), 0)
    return { sent: sum((item) => item.sent), all: sum((item) => item.size) }
  }

  #words(going: Item[], sent: number, all: number): string {
    const parts = [t('overall.sent', { sent: size(sent), size: size(all) })]
    if (going.some((item) => item.state === 'sending')) {
      parts.push(speed(this.#speed.bytesPerSecond))
      const left = this.#speed.left(all - sent)
      if (left !== null) parts.push(t('overall.left', { time: duration(left) }))
    }
    return `${t('overall.files', { n: going.length })} ${parts.join(' · ')}`
  }

  #say(part: number): void {
    const reached = SAID.filter((each) => part * 100 >= each).pop() ?? 0
    if (reached <= this.#said) return
    this.#said = reached
    announce(t('say.progress', { part: percent(reached / 100) }))
  }

  #tick(): void {
    if (!this.files.items.some((item) => item.state === 'sending')) {
      this.#speed.reset()
      return
    }
    this.#speed.sample(this.#sums().sent, performance.now())
    this.draw()
  }
}
