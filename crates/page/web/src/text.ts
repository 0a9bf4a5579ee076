// Strings in the reader's language, and numbers, sizes and times as they are written there.

type Values = Record<string, string | number>

let strings: Record<string, string> = {}
/** For numbers and times: with the reader's region, if it is the same language. */
let lang = 'en'
let language = 'en'
let plurals = new Intl.PluralRules('en')

export function useLanguage(name: string, all: Record<string, string>): void {
  language = name
  lang = navigator.languages.find((each) => each.split('-')[0] === name) ?? name
  strings = all
  plurals = new Intl.PluralRules(name)
}

/** The string of a key, with its `{placeholders}` filled. With `n`, the form for that count. */
export function t(key: string, values: Values = {}): string {
  const { n } = values
  const form = typeof n === 'number' ? `${key}.${plurals.select(n)}` : key
  const found = strings[form] ?? strings[`${key}.other`] ?? strings[key] ?? key
  return found.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name]
    return value === undefined ? whole : typeof value === 'number' ? number(value) : value
  })
}

/** What a refusal means. Its detail is in English; in other languages a text for its type stands before it. */
export function problemText(type: string, detail: string): string {
  const key = `problem.${type.replace('/problems/', '')}`
  if (language === 'en' || !(key in strings)) return detail
  return detail ? `${t(key)} (${detail})` : t(key)
}

export function number(value: number): string {
  return new Intl.NumberFormat(lang).format(value)
}

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte']

/** Decimal units: 20 MB is 20,000,000 bytes. */
export function size(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  const style = { style: 'unit', unit: UNITS[unit], unitDisplay: unit === 0 ? 'long' : 'short' } as const
  return new Intl.NumberFormat(lang, { ...style, maximumFractionDigits: unit === 0 ? 0 : 1 }).format(value)
}

export function bytes(count: number): string {
  const style = { style: 'unit', unit: 'byte', unitDisplay: 'long' } as const
  return new Intl.NumberFormat(lang, style).format(count)
}

export function speed(bytesPerSecond: number): string {
  return t('speed', { size: size(bytesPerSecond) })
}

export function percent(part: number): string {
  return new Intl.NumberFormat(lang, { style: 'percent' }).format(part)
}

/** Rounded as a person would say it. */
export function duration(seconds: number): string {
  const say = (value: number, unit: string) =>
    new Intl.NumberFormat(lang, { style: 'unit', unit, unitDisplay: 'long' }).format(value)
  if (seconds < 50) return say(Math.max(5, Math.ceil(seconds / 5) * 5), 'second')
  const minutes = Math.ceil(seconds / 60)
  if (minutes < 60) return say(minutes, 'minute')
  if (minutes < 48 * 60) return say(Math.round(minutes / 6) / 10, 'hour')
  return say(Math.round(minutes / 60 / 24), 'day')
}

export function time(at: string | number): string {
  return new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at))
}

export function list(parts: string[]): string {
  return new Intl.ListFormat(lang, { type: 'conjunction' }).format(parts)
}
