// Small helpers to make elements. Text is always text, never markup.

type Child = Node | string | null
type Props = Record<string, string | number | boolean | null | ((event: never) => unknown)>

/** An element. A function is a listener, a boolean a property, null nothing, and the rest an attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name, value as EventListener)
    else if (typeof value === 'boolean') Object.assign(element, { [name]: value })
    else if (value !== null) element.setAttribute(name, String(value))
  }
  element.append(...children.filter((child) => child !== null))
  return element
}

export function button(text: string, click: () => unknown, props: Props = {}): HTMLButtonElement {
  return h('button', { type: 'button', click, ...props }, text)
}

/** Sets text only if it differs, so that a screen reader is not disturbed. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Hides or shows. If the focus was inside, it moves to `instead`. */
export function show(element: HTMLElement, visible: boolean, instead?: HTMLElement): void {
  if (element.hidden === !visible) return
  const hadFocus = !visible && element.contains(document.activeElement)
  element.hidden = !visible
  if (hadFocus) instead?.focus()
}

/** A name whose writing direction does not disturb the text around it. */
export const nameOf = (name: string) => h('bdi', {}, name)
