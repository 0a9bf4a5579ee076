// tus-js-client, unchanged: 25 MB, the connection torn after about 10, and the client's own way to resume.
// Usage: node with-tus-js-client.mjs DEMO_JSON PROTOCOL
//
// Of its IETF protocols `ietf-draft-03` is interop version 5 and `ietf-draft-05` version 6. What they cannot:
// - they name the file in tus' Upload-Metadata only, so a Content-Disposition is added here;
// - they do not follow `104` answers, so they create without a byte, which is what this gateway offers;
// - in Node a resumed file stream never says `Upload-Complete: ?1` (its FileSource compares the rest with the whole),
//   and the client takes the upload for done: a Buffer, as a Blob in a browser, does. tus has no such word.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tus from 'tus-js-client'

const demo = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const protocol = process.argv[3]
const bytes = randomBytes(25_000_000)
const sha256 = createHash('sha256').update(bytes).digest('hex')
const name = `by-${protocol}.bin`
const folder = mkdtempSync(join(tmpdir(), 'resume-'))
const path = join(folder, name)
writeFileSync(path, bytes)

const isTus = protocol === 'tus-v1'
let torn = false

// A relay that tears the connection once, after 10 MB. The client reaches every address through it.
const { hostname, port } = new URL(demo.url)
const relay = createServer((near) => {
  const far = connect(Number(port), hostname)
  let relayed = 0
  near.on('data', (chunk) => {
    relayed += chunk.length
    if (!torn && relayed > 10_000_000) {
      torn = true
      near.destroy()
      far.destroy()
    }
  })
  near.pipe(far).pipe(near)
  for (const socket of [near, far]) socket.on('error', () => { near.destroy(); far.destroy() })
})
await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve))
class Relayed extends Agent {
  createConnection(options, connected) {
    return super.createConnection({ ...options, host: '127.0.0.1', port: relay.address().port }, connected)
  }
}
const offsets = []
try {
  const url = await new Promise((resolve, reject) => {
    const upload = new tus.Upload(isTus ? createReadStream(path) : bytes, {
      endpoint: `${demo.links.acme.url}/uploads`,
      protocol,
      httpStack: new tus.DefaultHttpStack({ agent: new Relayed() }),
      uploadSize: bytes.length,
      metadata: isTus ? { filename: name, filetype: 'application/octet-stream' } : {},
      headers: isTus ? {} : { 'Content-Disposition': `inline; filename="${name}"` },
      retryDelays: [500, 1000, 2000, 4000],
      onAfterResponse: (request, response) => {
        if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')))
      },
      onError: reject,
      onSuccess: () => resolve(upload.url),
    })
    upload.start()
  })
  assert.ok(torn, 'the connection was never torn')
  assert.ok(offsets.at(-1) > 0, `it resumed from ${offsets}`)
  const receipt = await (await fetch(url, { headers: { accept: 'application/json' } })).json()
  assert.equal(receipt.sha256, sha256)
  assert.equal(receipt.size, bytes.length)
  assert.equal(receipt.name, name)
  console.log(`resumed from ${offsets}`)
} finally {
  relay.close()
  rmSync(folder, { recursive: true })
}
