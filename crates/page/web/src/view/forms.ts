// The forms for tickets, escalations and notes. They are sent without leaving the page: files may be on their way.

import { type Gateway, Refusal, newKey } from '../gateway'
import type { PageData } from '../page-data'
import { t } from '../text'
import { announce } from './announce'
import { button, h, setText } from './dom'

type Fields = Record<string, string>
type Answer = Record<string, unknown>

/** What the person reads when it has worked. */
type Told = (answer: Answer) => (Node | string)[]

export function enhanceForms(data: PageData, gateway: Gateway, ticketField: HTMLInputElement | null): void {
  const note = document.querySelector<HTMLFormElement>('#note-form')
  const open = document.querySelector<HTMLFormElement>('#open-ticket-form')
  const escalate = document.querySelector<HTMLFormElement>('#escalate-form')
  if (note) new Form(note, gateway, 'note', (answer) => [t('note.sent', { ticket: String(answer.ticket) })])
  if (escalate) new Form(escalate, gateway, 'escalate', (answer) => escalated(data, answer))
  if (open) {
    for (const part of open.querySelectorAll('.without-script')) part.remove()
    new Form(open, gateway, 'tickets', (answer) => {
      const ticket = String(answer.ticket)
      if (ticketField) ticketField.value = ticket
      const { url } = answer.link as { url: string }
      return [t('ticket.opened', { ticket }), ' ', h('a', { href: url }, t('ticket.page'))]
    })
  }
  if (open && ticketField) addLinkMaker(gateway, ticketField)
}

function escalated(data: PageData, answer: Answer): (Node | string)[] {
  const values = { ticket: String(answer.ticket), reference: String(answer.reference) }
  const address = `${data.link.path}escalations/${encodeURIComponent(String(answer.id))}`
  const hints = ((answer.hints as string[] | undefined) ?? []).map((hint) => h('p', { class: 'hint', lang: 'en' }, hint))
  return [
    t(answer.joined ? 'escalation.joined' : 'escalation.sent', values),
    ...hints,
    h('p', {}, h('a', { href: new URL(address, location.origin).href }, t('escalation.later'))),
  ]
}

class Form {
  #result = h('div', { class: 'result', role: 'status' })
  #error = h('div', { class: 'error', role: 'alert' })
  #busy = false
  /** What was sent last, and its key: a second try of the same does nothing twice. */
  #tried = { text: '', key: '' }

  constructor(
    private form: HTMLFormElement,
    private gateway: Gateway,
    private path: string,
    private told: Told,
  ) {
    form.append(this.#error, this.#result)
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#send()
    })
  }

  async #send(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    this.#clear()
    this.#result.replaceChildren(t('form.sending'))
    try {
      const fields = this.#fields()
      const answer = await this.gateway.post(this.path, fields, this.#keyOf(fields))
      this.#tried = { text: '', key: '' }
      this.form.reset()
      this.#result.replaceChildren(...this.told(answer))
    } catch (error) {
      this.#result.replaceChildren()
      this.#refused(error)
    }
    this.#busy = false
  }

  #fields(): Fields {
    const fields: Fields = {}
    for (const [name, value] of new FormData(this.form)) if (typeof value === 'string') fields[name] = value
    return fields
  }

  #keyOf(fields: Fields): string {
    const text = JSON.stringify(fields)
    if (text !== this.#tried.text) this.#tried = { text, key: newKey() }
    return this.#tried.key
  }

  #clear(): void {
    setText(this.#error, '')
    for (const each of this.form.querySelectorAll('.field-error')) each.remove()
    for (const each of this.form.querySelectorAll('[aria-invalid]')) {
      each.removeAttribute('aria-invalid')
      each.removeAttribute('aria-describedby')
    }
  }

  #refused(error: unknown): void {
    if (!(error instanceof Refusal)) return setText(this.#error, t('form.interrupted'))
    let first: HTMLElement | null = null
    for (const { field, detail } of error.fields) {
      const input = this.form.elements.namedItem(field)
      if (!(input instanceof HTMLElement)) continue
      const id = `${this.form.id}-${field}-error`
      input.setAttribute('aria-invalid', 'true')
      input.setAttribute('aria-describedby', id)
      input.after(h('p', { id, class: 'error field-error', lang: 'en' }, detail))
      first ??= input
    }
    setText(this.#error, first ? t('form.fields') : error.message || t('refused', { status: String(error.status) }))
    first?.focus()
  }
}

/** Makes a link for the ticket in the field, to hand on. */
function addLinkMaker(gateway: Gateway, field: HTMLInputElement): void {
  const result = h('div', { class: 'result', role: 'status' })
  const make = async () => {
    const ticket = field.value.trim()
    if (ticket === '') {
      setText(result, t('ticket.needed'))
      return field.focus()
    }
    try {
      const { url } = await gateway.post(`tickets/${encodeURIComponent(ticket)}/link`, {}, newKey())
      const address = String(url)
      result.replaceChildren(t('link.made', { ticket }), ' ', h('a', { href: address, class: 'digest' }, address))
      announce(t('link.made', { ticket }))
    } catch (error) {
      setText(result, error instanceof Refusal && error.message ? error.message : t('form.interrupted'))
    }
  }
  field.after(h('p', { class: 'buttons' }, button(t('link.make'), () => void make(), { id: 'make-link' })), result)
}
