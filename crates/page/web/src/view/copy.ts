// Buttons that copy the commands of the page.

import { t } from '../text'
import { announce } from './announce'
import { button } from './dom'

const SHOWN = 2_000

export function addCopyButtons(): void {
  for (const command of document.querySelectorAll<HTMLPreElement>('pre.command')) {
    const what = command.dataset.label ?? ''
    const copy = button(t('copy'), () => void run(), { class: 'copy', 'aria-label': t('label.of', { action: t('copy'), name: what }) })
    const run = async () => {
      const done = await copyText(command)
      copy.textContent = t(done ? 'copied' : 'copy.select')
      announce(t(done ? 'copied' : 'copy.select'))
      setTimeout(() => {
        copy.textContent = t('copy')
      }, SHOWN)
    }
    command.after(copy)
  }
}

/** Without permission to copy, selects the text for the keyboard. */
async function copyText(command: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(command.textContent ?? '')
    return true
  } catch {
    getSelection()?.selectAllChildren(command)
    return false
  }
}
