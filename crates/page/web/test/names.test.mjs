import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load } from './load.mjs'

const { faultOf, suggest } = await load('names')

test('names that the gateway refuses', () => {
  for (const [name, fault] of [
    ['a.log', null], ['...', null], ['.hidden', null], ['a b"c\'.log', null], ['\u{1F600}.png', null],
    ['', 'empty'], ['.', 'directory'], ['..', 'directory'], ['a/b', 'slash'], ['a\\b', 'slash'],
    ['a\0b', 'control'], ['a\nb', 'control'], ['a\u0085b', 'control'], ['\u202Egpj.exe', 'direction'], ['a\u061Cb', 'direction'],
    ['x'.repeat(255), null], ['x'.repeat(256), 'long'], ['é'.repeat(127), null], ['é'.repeat(128), 'long'],
    // Shorter once it is normalised.
    ['e\u0301'.repeat(127), null],
  ]) assert.equal(faultOf(name), fault, JSON.stringify(name))
})

test('every suggestion is usable, and keeps the suffix', () => {
  for (const [name, expected] of [
    ['a/b\\c.log', 'a_b_c.log'], ['x\u202Egpj.exe', 'xgpj.exe'], ['..', 'file'], ['', 'file'], ['a\nb', 'a_b'],
    ['\uD800.txt', '_.txt'],
  ]) assert.equal(suggest(name), expected)
  for (const name of [`${'é'.repeat(200)}.log`, 'x'.repeat(400), `${'\u{1F600}'.repeat(90)}.zip`, `a.${'b'.repeat(300)}`]) {
    assert.equal(faultOf(suggest(name)), null)
  }
  assert.ok(suggest(`${'é'.repeat(200)}.log`).endsWith('é.log'))
})
