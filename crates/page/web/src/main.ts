// Turns the server's form into a page that resumes. If anything here fails, the form still works.

import { Deliveries } from './deliveries'
import { Files } from './files'
import { Gateway } from './gateway'
import { type PageData, readPageData } from './page-data'
import { t, useLanguage } from './text'
import { alarm, prepareAnnouncements } from './view/announce'
import { buildChooser } from './view/choose'
import { addCopyButtons } from './view/copy'
import { enhanceForms } from './view/forms'
import { List } from './view/list'
import { Overall } from './view/overall'
import { Received } from './view/received'

async function prepare(data: PageData): Promise<void> {
  // The page's own address may have a name and a password, which no request may.
  const strings = await fetch(new URL(data.assets.locale, location.origin), { referrerPolicy: 'no-referrer' })
  useLanguage(data.lang, (await strings.json()) as Record<string, string>)
  prepareAnnouncements()
  addCopyButtons()
  const form = document.querySelector<HTMLFormElement>('form#send')
  enhanceForms(data, new Gateway(data.link.path), form?.querySelector('input[name=ticket]') ?? null)
  const field = form?.querySelector<HTMLInputElement>('input[type=file]')
  if (form && field) await upgrade(data, form, field)
}

async function upgrade(data: PageData, form: HTMLFormElement, field: HTMLInputElement): Promise<void> {
  const { rights } = data.link
  const gateway = new Gateway(data.link.path)
  const files = new Files(data, gateway, () => ticketOf(data, form))
  const received = rights.includes('list') ? new Received(gateway, rights.includes('remove')) : null
  const deliveries = new Deliveries(gateway, rights.includes('list'), (item) => {
    files.changed(item)
    received?.refresh()
  })
  const overall = new Overall(files)
  const list = new List(files, data.asks, () => overall.draw(), (item) => {
    deliveries.watch(item)
    received?.refresh()
  })
  const chooser = buildChooser(field, data.limits.max_size, (found) => void list.add(found))
  for (const part of form.querySelectorAll('.without-script')) part.remove()
  form.append(chooser, list.element, overall.element)
  form.dataset.ready = 'true'
  if (received) form.after(received.element)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    files.start()
  })
  await files.recall()
}

/** Null if the link has a ticket; '' if nobody has entered one. */
function ticketOf(data: PageData, form: HTMLFormElement): string | null {
  if (data.ticket) return null
  const field = form.querySelector<HTMLInputElement>('input[name=ticket]')
  const ticket = field?.value.trim() ?? ''
  if (ticket === '') {
    alarm(t('ticket.needed'))
    field?.focus()
  }
  return ticket
}

const data = readPageData()
if (data) void prepare(data)
