// Ways to choose files: drop, paste, pick. Keeps a handle where the browser gives one.

import type { Found } from '../files'
import { size, t } from '../text'
import { button, h } from './dom'

type Take = (found: Found[]) => void

/** Replaces the form's file field by a drop area with buttons. */
export function buildChooser(field: HTMLInputElement, maxSize: number, take: Take): HTMLElement {
  const folder = h('input', { type: 'file', multiple: true, hidden: true })
  folder.webkitdirectory = true
  for (const input of [field, folder]) {
    input.addEventListener('change', () => {
      take(fromInput(input))
      // The same file may be chosen again.
      input.value = ''
    })
  }
  // It stays in the form, so that the page works if this program breaks.
  field.required = false
  field.hidden = true
  const area = h(
    'div',
    { class: 'drop', id: 'drop' },
    h('p', { class: 'drop-text' }, t('choose.drop')),
    h(
      'p',
      { class: 'buttons' },
      button(t('choose.files'), () => void pick(field, take), { id: 'choose-files', class: 'primary' }),
      button(t('choose.folder'), () => folder.click(), { id: 'choose-folder' }),
    ),
    h('p', { class: 'hint' }, t('choose.limits', { max: size(maxSize) })),
    field,
    folder,
  )
  acceptDrops(area, take)
  acceptPaste(take)
  return area
}

function fromInput(input: HTMLInputElement): Found[] {
  return [...(input.files ?? [])].map((file) => {
    const path = file.webkitRelativePath
    return { file, folder: path.slice(0, Math.max(0, path.lastIndexOf('/'))), handle: null }
  })
}

type Picker = (options: { multiple: boolean }) => Promise<FileSystemFileHandle[]>

/** The dialog that gives handles, else the usual one. Null if the person closed the first. */
export async function pickHandles(multiple: boolean): Promise<Found[] | 'unavailable' | null> {
  const picker = (window as { showOpenFilePicker?: Picker }).showOpenFilePicker
  if (!picker) return 'unavailable'
  try {
    const handles = await picker({ multiple })
    return await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), folder: '', handle })))
  } catch (error) {
    return (error as Error).name === 'AbortError' ? null : 'unavailable'
  }
}

async function pick(field: HTMLInputElement, take: Take): Promise<void> {
  const found = await pickHandles(true)
  if (found === 'unavailable') field.click()
  else if (found) take(found)
}

/** Asks for one file. */
export async function pickOne(): Promise<Found | null> {
  const found = await pickHandles(false)
  if (found !== 'unavailable') return found?.[0] ?? null
  const input = h('input', { type: 'file' })
  return new Promise((resolve) => {
    input.addEventListener('change', () => resolve(fromInput(input)[0] ?? null))
    input.addEventListener('cancel', () => resolve(null))
    input.click()
  })
}

function acceptDrops(area: HTMLElement, take: Take): void {
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
  // Anywhere on the page: a file that misses the area would otherwise replace the page.
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    area.classList.add('over')
  })
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) area.classList.remove('over')
  })
  addEventListener('drop', (event) => {
    area.classList.remove('over')
    if (!hasFiles(event) || !event.dataTransfer) return
    event.preventDefault()
    void fromDrop([...event.dataTransfer.items]).then(take)
  })
}

function acceptPaste(take: Take): void {
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])]
    if (files.length === 0) return
    event.preventDefault()
    take(files.map((file) => ({ file, folder: '', handle: null })))
  })
}

type Handled = DataTransferItem & { getAsFileSystemHandle?: () => Promise<FileSystemHandle | null> }

/** Every item must be asked before the first wait: afterwards the drop is empty. */
async function fromDrop(items: DataTransferItem[]): Promise<Found[]> {
  const asked = items
    .filter((item) => item.kind === 'file')
    .map((item) => ({
      handle: (item as Handled).getAsFileSystemHandle?.().catch(() => null) ?? null,
      entry: item.webkitGetAsEntry?.() ?? null,
      file: item.getAsFile(),
    }))
  const found: Found[] = []
  for (const { handle, entry, file } of asked) {
    const known = await handle
    if (known) await walkHandle(known, '', found)
    else if (entry) await walkEntry(entry, '', found)
    else if (file) found.push({ file, folder: '', handle: null })
  }
  return found
}

const join = (folder: string, name: string) => (folder ? `${folder}/${name}` : name)

async function walkHandle(handle: FileSystemHandle, folder: string, found: Found[]): Promise<void> {
  if (handle.kind === 'file') {
    const file = await (handle as FileSystemFileHandle).getFile()
    found.push({ file, folder, handle: handle as FileSystemFileHandle })
    return
  }
  for await (const each of (handle as FileSystemDirectoryHandle).values()) {
    await walkHandle(each, join(folder, handle.name), found)
  }
}

async function walkEntry(entry: FileSystemEntry, folder: string, found: Found[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((yes, no) => (entry as FileSystemFileEntry).file(yes, no))
    found.push({ file, folder, handle: null })
    return
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  // Gives some entries at a time, then none.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((yes, no) => reader.readEntries(yes, no))
    if (some.length === 0) return
    for (const each of some) await walkEntry(each, join(folder, entry.name), found)
  }
}
