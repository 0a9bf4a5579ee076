// Builds dist/: every asset under a name with a hash of its bytes, and assets.inc, the table that the program embeds. The
// same sources and lock file give the same bytes. Prints the sizes and refuses what is too large.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const BUDGET = 250_000
const root = dirname(fileURLToPath(import.meta.url))
const dist = join(root, 'dist')
const languages = readdirSync(join(root, 'locales')).filter((name) => name.endsWith('.json')).sort()

const common = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  write: false,
  target: ['es2022', 'chrome109', 'firefox115', 'safari16'],
  charset: 'utf8',
  legalComments: 'none',
  sourcemap: false,
  metafile: true,
  logLevel: 'warning',
}

const assets = []
const script = (entry, format) => build({ ...common, entryPoints: [entry], format, platform: 'browser' })
const [page, worker, style] = await Promise.all([
  script('src/main.ts', 'esm'),
  script('src/worker.ts', 'iife'),
  build({ ...common, entryPoints: ['src/page.css'] }),
])
assets.push(['page.js', page.outputFiles[0].contents], ['worker.js', worker.outputFiles[0].contents])
assets.push(['page.css', style.outputFiles[0].contents])
assets.push(['icon.svg', readFileSync(join(root, 'src/icon.svg'))])
for (const name of languages) {
  // The page needs none of the server's own strings.
  const strings = JSON.parse(readFileSync(join(root, 'locales', name), 'utf8'))
  const own = Object.entries(strings).filter(([key]) => !key.startsWith('page.'))
  assets.push([name, Buffer.from(JSON.stringify(Object.fromEntries(own)))])
}
assets.push(['licenses.txt', Buffer.from(licenses([page, worker]))])

rmSync(dist, { recursive: true, force: true })
mkdirSync(dist)
const manifest = {}
let total = 0
for (const [name, bytes] of assets) {
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const [stem, suffix] = [name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.'))]
  manifest[name] = `${stem}-${hash}${suffix}`
  writeFileSync(join(dist, manifest[name]), bytes)
  const gzip = gzipSync(bytes, { level: 9 }).length
  total += gzip
  console.log(`${name.padEnd(14)} ${String(bytes.length).padStart(8)}  gzip ${String(gzip).padStart(7)}  brotli ${String(brotliCompressSync(bytes).length).padStart(7)}`)
}
writeFileSync(join(dist, 'assets.inc'), table(manifest))
console.log(`all of it, gzip: ${total} of ${BUDGET}`)
if (total > BUDGET) process.exit(1)

/** The table that the program embeds. */
function table(names) {
  const types = { css: 'text/css', js: 'text/javascript', json: 'application/json', svg: 'image/svg+xml', txt: 'text/plain' }
  const rows = Object.entries(names).map(([plain, name]) => `    Asset {
        plain_name: "${plain}",
        name: "${name}",
        content_type: "${types[plain.split('.').pop()]}; charset=utf-8",
        bytes: include_bytes!("${name}"),
    },
`)
  return `// Written by \`npm run build\` in crates/page/web.\nstatic ASSETS: [Asset; ${rows.length}] = [\n${rows.join('')}];\n`
}

/** The licenses of every package that is in a bundle. */
function licenses(results) {
  const folders = new Set()
  for (const { metafile } of results) {
    for (const input of Object.keys(metafile.inputs)) {
      const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)
      if (found) folders.add(found[1])
    }
  }
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const file = readdirSync(join(root, folder)).find((each) => /^licen[cs]e/i.test(each))
    const text = file ? readFileSync(join(root, folder, file), 'utf8').trim() : `License: ${license}`
    return `${name} ${version}\n\n${text}\n`
  })
  return texts.join('\n----\n\n')
}
