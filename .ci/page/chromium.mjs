// Chromium without a sandbox of its own and without calls home.
import { chromium } from 'playwright-core'

const options = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
}
export const launch = () => chromium.launch(options)
/** With a profile on disk, which outlives the browser. */
export const launchWithProfile = (folder) => chromium.launchPersistentContext(folder, options)
