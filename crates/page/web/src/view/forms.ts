// The forms for tickets, escalations and notes. They are sent without leaving the page: files may be on their way.

import { type Gateway, Refusal } from '../gateway'
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
  if (note) new Form(note, gateway, 'note', (answer) => [t(answer.repeated ? 'note.before' : 'note.sent', { ticket: String(answer.ticket) })])
  if (escalate) new Form(escalate, gateway, 'escalate', (answer) => escalated(data, answer))
  if (open) {
    for (const part of open.querySelectorAll('.without-script')) part.remove()
    new Form(open, gateway, 'tickets', (answer) => {
      const ticket = String(answer.ticket)
      for (const field of [ticketField, fieldOf('note-ticket'), fieldOf('request')]) if (field) field.value = ticket
      const { url } = answer.link as { url: string }
      return [t('ticket.opened', { ticket }), ' ', link(url, t('ticket.page'))]
    })
  }
  if (open && ticketField) addLinkMaker(gateway, ticketField)
}

const fieldOf = (id: string) => document.getElementById(id) as HTMLInputElement | null

/** Opens a page of its own: files may be on their way on this one. */
const link = (href: string, text: string) => h('a', { href, target: '_blank', rel: 'noreferrer' }, text)

function escalated(data: PageData, answer: Answer): (Node | string)[] {
  const values = { ticket: String(answer.ticket), reference: String(answer.reference) }
  const address = `${data.link.path}escalations/${encodeURIComponent(String(answer.id))}`
  const hints = ((answer.hints as string[] | undefined) ?? []).map((hint) => h('p', { class: 'hint', lang: 'en' }, hint))
  return [
    t(answer.joined ? 'escalation.joined' : 'escalation.sent', values),
    ...hints,
    h('p', {}, link(new URL(address, location.origin).href, t('escalation.later'))),
  ]
}

class Form {
  #result = h('div', { class: 'result', role: 'status' })
  #error = h('div', { class: 'error', role: 'alert' })
  #busy = false

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
      const answer = await this.gateway.post(this.path, this.#fields())
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

  #clear(): void {
    setText(this.#error, '')
    for (const each of this.form.querySelectorAll('.field-error')) each.remove()
    for (const each of this.form.querySelectorAll('[aria-invalid]')) {
      each.removeAttribute('aria-invalid')
      each.removeAttribute('aria-describedby')
    }
  }

  #refused(error: unknown): void {
    // The same fields again do nothing twice: the gateway knows them.
    if (!(error instanceof Refusal) || (error.status >= 500 && !error.message)) {
      return setText(this.#error, t('form.interrupted'))
    }
    if (error.type === '/problems/link-expired') return setText(this.#error, t('form.expired'))
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
    setText(this.#error, first ? t('form.fields') : error.message || t('problem.any'))
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
      const { url } = await gateway.post(`tickets/${encodeURIComponent(ticket)}/link`, {})
      const address = String(url)
      result.replaceChildren(t('link.made', { ticket }), ' ', link(address, address))
      announce(t('link.made', { ticket }))
    } catch (error) {
      setText(result, error instanceof Refusal && error.message ? error.message : t('form.interrupted'))
    }
  }
  field.after(h('p', { class: 'buttons' }, button(t('link.make'), () => void make(), { id: 'make-link' })), result)
}
