// An HTTP proxy in front of a gateway. It passes everything on as it is, and can cut connections, slow down what is sent, and
// change answers. It always lets the page's worker tell what its policy forbids.
import { createServer, request as ask } from 'node:http'

/** What a test may change. */
const UNCHANGED = {
  /** Bytes of a request's body in a second; 0 for no limit. */
  perSecond: 0,
  /** Writing direction of pages. */
  dir: '',
  /** Whether the page's worker may run WebAssembly. */
  wasm: true,
  /** Changes the JSON of answers to GET. */
  tamper: null,
  /** So many answers to POST get lost. */
  lose: 0,
}

const isWorker = (request) => /^\/assets\/worker-/.test(request.url)
/** Not every driver can ask a worker, so it speaks by itself. */
const TELL = `addEventListener('securitypolicyviolation', (event) => {
  new BroadcastChannel('violations').postMessage(event.violatedDirective)
})
`

/** A proxy for the gateway at this URL. */
export async function startProxy(url) {
  const gateway = new URL(url)
  const settings = { ...UNCHANGED }
  const sockets = new Set()
  let isDown = false
  let refused = () => {}

  /** How the text of this answer is changed, if at all. */
  function changeOf(request, answer) {
    const type = answer.headers['content-type'] ?? ''
    if (request.method !== 'GET') return null
    if (isWorker(request)) return (script) => TELL + script
    if (settings.tamper && type.includes('json')) return settings.tamper
    if (settings.dir && type.includes('html')) return (html) => html.replace('<html ', `<html dir="${settings.dir}" `)
    return null
  }

  function headersOf(request, answer) {
    const headers = { ...answer.headers }
    if (!settings.wasm && isWorker(request)) headers['content-security-policy'] = "default-src 'none'"
    return headers
  }

  function back(request, response, answer) {
    if (request.method === 'POST' && settings.lose > 0) {
      settings.lose -= 1
      response.destroy()
      return
    }
    const headers = headersOf(request, answer)
    const change = changeOf(request, answer)
    if (!change) {
      response.writeHead(answer.statusCode, headers)
      answer.pipe(response)
      return
    }
    const parts = []
    answer.on('data', (part) => parts.push(part))
    answer.on('end', () => {
      const body = Buffer.from(change(Buffer.concat(parts).toString()))
      response.writeHead(answer.statusCode, { ...headers, 'content-length': body.length })
      response.end(body)
    })
  }

  function pass(request, response) {
    const { hostname: host, port } = gateway
    const onward = ask({ host, port, path: request.url, method: request.method, headers: request.headers })
    onward.on('response', (answer) => {
      answer.on('error', () => response.destroy())
      back(request, response, answer)
    })
    onward.on('error', () => response.destroy())
    request.on('error', () => onward.destroy())
    response.on('close', () => { if (!response.writableFinished) onward.destroy() })
    request.on('data', (part) => {
      const isFree = onward.write(part)
      const wait = settings.perSecond ? (part.length / settings.perSecond) * 1000 : 0
      if (isFree && !wait) return
      request.pause()
      const resume = () => setTimeout(() => request.resume(), wait)
      if (isFree) resume()
      else onward.once('drain', resume)
    })
    request.on('end', () => onward.end())
  }

  const server = createServer((request, response) => {
    if (!isDown) return pass(request, response)
    request.socket.destroy()
    refused()
  })
  server.requestTimeout = 0
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const destroyAll = () => { for (const socket of sockets) socket.destroy() }
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    settings,
    /** Ends every connection, and refuses requests until `restore`. Resolves when the first has been refused. */
    cut() {
      isDown = true
      destroyAll()
      return new Promise((resolve) => { refused = resolve })
    },
    restore() { isDown = false },
    /** Everything passes unchanged again. */
    reset() {
      isDown = false
      Object.assign(settings, UNCHANGED)
    },
    close() {
      destroyAll()
      server.close()
    },
  }
}
