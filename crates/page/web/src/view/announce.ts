// Tells screen readers what happened: at most one message in a few seconds, and one for many files.

import { t } from '../text'
import { h } from './dom'

const QUIET = 3_000

const polite = h('div', { class: 'hidden-visually', role: 'status' })
const urgent = h('div', { class: 'hidden-visually', role: 'alert' })
let texts: string[] = []
let arrived: string[] = []
let timer: number | undefined

export function prepareAnnouncements(): void {
  document.body.append(polite, urgent)
}

export function announce(text: string): void {
  if (!texts.includes(text)) texts.push(text)
  timer ??= window.setTimeout(flush, 500)
}

export function announceArrival(name: string): void {
  arrived.push(name)
  timer ??= window.setTimeout(flush, 500)
}

/** Something needs a person. */
export function alarm(text: string): void {
  urgent.textContent = text
}

function flush(): void {
  const [first] = arrived
  if (first !== undefined && arrived.length === 1) texts.push(t('say.arrived', { name: first }))
  else if (first !== undefined) texts.push(t('say.many-arrived', { n: arrived.length }))
  const text = texts.join(' ')
  texts = []
  arrived = []
  if (text) polite.textContent = text
  timer = text ? window.setTimeout(flush, QUIET) : undefined
}
