// The browser of the tests: a real Chromium or, with BROWSER=firefox, a real Firefox. Neither calls home.
// Firefox is the one that everybody has, not Playwright's own build. Playwright drives it by WebDriver BiDi; from 1.65 it
// needs commands that Firefox 153 does not have.
import { readFileSync, readdirSync } from 'node:fs'

import { chromium, firefox } from 'playwright-core'

const name = process.env.BROWSER ?? 'chromium'
export const isFirefox = name === 'firefox'
if (!isFirefox && name !== 'chromium') throw new Error(`BROWSER is chromium or firefox, not ${name}`)

/** A port that never answers takes whatever Firefox asks of other machines. */
const NOWHERE = {
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1',
  'network.proxy.http_port': 9,
  'network.proxy.ssl': '127.0.0.1',
  'network.proxy.ssl_port': 9,
  'network.proxy.no_proxies_on': '127.0.0.1',
  'network.proxy.failover_direct': false,
}
/** And it has less to ask. */
const QUIET = {
  'app.normandy.enabled': false,
  'app.update.auto': false,
  'browser.newtabpage.activity-stream.feeds.telemetry': false,
  'browser.region.network.url': '',
  'browser.topsites.contile.enabled': false,
  'captivedetect.canonicalURL': '',
  'dom.push.connection.enabled': false,
  'extensions.systemAddon.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.dns.disablePrefetch': true,
  'network.prefetch-next': false,
  'network.trr.mode': 5,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.enabled': false,
  'toolkit.telemetry.server': '',
  'toolkit.telemetry.unified': false,
}
/** What a context of Chromium is told, Firefox reads from its preferences. */
const PREFERENCES = {
  javaScriptEnabled: (enabled) => ({ 'javascript.enabled': enabled }),
  colorScheme: (scheme) => ({ 'layout.css.prefers-color-scheme.content-override': scheme === 'dark' ? 0 : 1 }),
  forcedColors: (forced) => ({ 'browser.display.document_color_use': forced === 'active' ? 2 : 1 }),
  // The only pointer is a coarse one.
  hasTouch: (touch) => (touch ? { 'ui.primaryPointerCapabilities': 1, 'ui.allPointerCapabilities': 1 } : {}),
  // Firefox has no other layout for phones here, only the width.
  isMobile: () => ({}),
  // Firefox has no such permission for a page: it asks somebody each time.
  permissions: () => ({ 'dom.events.testing.asyncClipboard': true }),
}

const options = ({ downloads: downloadsPath, preferences } = {}) => isFirefox ? {
  downloadsPath,
  channel: 'moz-firefox',
  executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
  // Firefox lets nobody set `services.settings.server` without it.
  env: { ...process.env, MOZ_REMOTE_SETTINGS_DEVTOOLS: '1' },
  firefoxUserPrefs: { ...NOWHERE, ...QUIET, ...PREFERENCES.colorScheme('light'), ...preferences },
} : {
  downloadsPath,
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
}
const kind = isFirefox ? firefox : chromium

export const launch = (how) => kind.launch(options(how))
/** With a profile on disk, which outlives the browser. */
export const launchWithProfile = (folder) => kind.launchPersistentContext(folder, options())

const others = []
/** Ends this browser, and those that contexts needed for themselves. */
export const closeAll = (browser) => Promise.all([browser, ...others].map((each) => each?.close()))

/** A context of this browser; of another Firefox if it needs other preferences, which ends with it. */
export async function newContext(browser, wanted) {
  const ours = Object.keys(wanted).filter((key) => isFirefox && key in PREFERENCES)
  if (ours.length === 0) return browser.newContext(wanted)
  const own = await launch({ preferences: Object.assign({}, ...ours.map((key) => PREFERENCES[key](wanted[key]))) })
  others.push(own)
  const context = await own.newContext(Object.fromEntries(Object.entries(wanted).filter(([key]) => !ours.includes(key))))
  context.on('close', () => void own.close())
  return context
}

/** The process of the browser that uses a profile, not one of those it has started. */
export function processOf(profile) {
  for (const id of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    let words = []
    try {
      words = readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0')
    } catch {
      // It has ended.
    }
    const isIts = words.includes(`--user-data-dir=${profile}`) || words[words.indexOf('--profile') + 1] === profile
    if (isIts && !words.some((word) => word === '-contentproc' || word.startsWith('--type='))) return Number(id)
  }
  throw new Error('the browser does not run')
}

/** The number in this line of /proc/ID/status; 0 if the process has ended. */
function statusOf(id, line) {
  try {
    return Number(readFileSync(`/proc/${id}/status`, 'utf8').match(`${line}:\\s*(\\d+)`)?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Bytes that the browser with this profile keeps in memory, in all its processes. */
export function memoryOf(profile) {
  const all = readdirSync('/proc').filter((each) => /^\d+$/.test(each)).map((id) => [Number(id), statusOf(id, 'PPid')])
  const its = [processOf(profile)]
  for (const one of its) its.push(...all.filter(([, parent]) => parent === one).map(([id]) => id))
  return its.reduce((sum, id) => sum + statusOf(id, 'RssAnon') * 1024, 0)
}

/**
 * Firefox reads the whole body of each request into memory to tell its driver about it, which would hide what the page keeps.
 * The driver does without, and hears of no further request.
 */
export async function hideRequests(context) {
  if (!isFirefox) return
  const { _browser: { _browserSession: session } } = context._connection.toImpl(context)
  await session.send('session.unsubscribe', { events: ['network'] })
}
