// File names that the gateway refuses, by its own rules, and one that it accepts instead.

const BYTES_MAX = 255
const SLASHES = /[/\\]/
const CONTROLS = /\p{Cc}/u
const DIRECTION = /[\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/

export type NameFault = 'empty' | 'directory' | 'slash' | 'control' | 'direction' | 'long'

const bytesOf = (text: string) => new TextEncoder().encode(text).length

/** Null if the name can be used. */
export function faultOf(name: string): NameFault | null {
  const nfc = name.normalize('NFC')
  if (nfc === '') return 'empty'
  if (nfc === '.' || nfc === '..') return 'directory'
  if (SLASHES.test(nfc)) return 'slash'
  if (CONTROLS.test(nfc)) return 'control'
  if (DIRECTION.test(nfc)) return 'direction'
  return bytesOf(nfc) > BYTES_MAX ? 'long' : null
}

/** A usable name that resembles the given one. */
export function suggest(name: string): string {
  let text = name.normalize('NFC').replace(/\p{Surrogate}/gu, '_')
  text = text.replace(new RegExp(DIRECTION, 'g'), '').replace(/[/\\\p{Cc}]/gu, '_').trim()
  if (text === '' || text === '.' || text === '..') return 'file'
  const dot = text.lastIndexOf('.')
  // A suffix of more than 20 characters is none.
  const suffix = dot > 0 && text.length - dot <= 20 ? text.slice(dot) : ''
  const stem = [...text.slice(0, text.length - suffix.length)]
  while (bytesOf(stem.join('') + suffix) > BYTES_MAX) stem.pop()
  return stem.join('') + suffix
}
