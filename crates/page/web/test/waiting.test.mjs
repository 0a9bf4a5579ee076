import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load } from './load.mjs'

const { delay, pause, tryNow } = await load('retry')
const { Speed } = await load('speed')
const { guess } = await load('view/asks').catch(() => ({}))

test('each wait is longer, up to a minute, and never shorter than the gateway asks', () => {
  const waits = [0, 1, 2, 3, 20].map((attempt) => delay(attempt, 0, 0.5))
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 60_000])
  assert.equal(delay(0, 30, 0.5), 30_000)
})

test('a wait ends when the network is back, and when the file is cancelled', async () => {
  const waiting = pause(60_000, new AbortController().signal)
  tryNow()
  await waiting
  const stop = new AbortController()
  const cancelled = pause(60_000, stop.signal)
  stop.abort()
  await assert.rejects(cancelled, { name: 'AbortError' })
})

test('speed and time left', () => {
  const speed = new Speed()
  for (let second = 0; second < 6; second += 1) speed.sample(second * 1000, second * 1000)
  assert.equal(speed.bytesPerSecond, 1000)
  assert.equal(speed.left(5000), 5)
  speed.reset()
  assert.equal(speed.left(5000), null)
})

test('an ask is recognised by its words', { skip: !guess }, () => {
  const asks = [{ id: '1', text: 'The server log of Monday', arrived: false }, { id: '2', text: 'A heap dump', arrived: false }]
  assert.equal(guess('prod-SERVER.log', asks), '1')
  assert.equal(guess('heap.bin', asks), '2')
  assert.equal(guess('other.bin', asks), '')
})
