// Every language has every string, with the same placeholders, and every string that the sources name exists.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'

const folder = new URL('../locales/', import.meta.url)
const read = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'))
const languages = readdirSync(folder).map((name) => name.replace('.json', ''))
const english = read('en')
const FORMS = /\.(zero|one|two|few|many|other)$/
const plain = (key) => key.replace(FORMS, '')
const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map(([found]) => found).sort()

for (const language of languages) {
  test(`${language} is complete`, () => {
    const strings = read(language)
    assert.deepEqual(new Set(Object.keys(strings).map(plain)), new Set(Object.keys(english).map(plain)))
    const forms = new Intl.PluralRules(language).resolvedOptions().pluralCategories
    for (const key of Object.keys(english).filter((each) => each.endsWith('.other'))) {
      for (const form of forms.filter((each) => each !== 'many')) {
        assert.ok(strings[`${plain(key)}.${form}`], `${language} lacks ${plain(key)}.${form}`)
      }
    }
    for (const [key, text] of Object.entries(strings)) {
      const model = english[key] ?? english[`${plain(key)}.other`]
      // "Several" may stand for a number.
      const same = placeholders(text).join() === placeholders(model).join()
      assert.ok(same || FORMS.test(key), `${language} ${key}: ${text}`)
      assert.equal(text, text.trim())
    }
  })
}

test('every string of the sources and the templates exists', () => {
  const known = new Set(Object.keys(english).map(plain))
  const root = new URL('../', import.meta.url)
  const sources = ['src/', 'src/view/'].flatMap((path) => readdirSync(new URL(path, root)).filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(new URL(path + name, root), 'utf8')))
  const used = sources.flatMap((text) => [...text.matchAll(/\bt\('([\w.-]+)'/g)].map(([, key]) => key))
  const pages = ['../templates/', '../templates/forms/', '../src/'].flatMap((path) =>
    readdirSync(new URL(path, root)).filter((name) => /\.(html|rs)$/.test(name)).map((name) => path + name))
  for (const path of pages) {
    const text = readFileSync(new URL(path, root), 'utf8')
    used.push(...[...text.matchAll(/\b(?:text|with|fill)\(\s*"([\w.-]+)"/g)].map(([, key]) => key))
  }
  assert.ok(used.length > 150)
  assert.deepEqual(used.filter((key) => !known.has(key)), [])
})
