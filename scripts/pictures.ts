import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { startDemo } from './demo-server.ts'

/**
 * Takes the pictures of the live page for the README and the guide, light and dark:
 * `npm run pictures`. CHROMIUM_PATH names the browser, unless it is Debian's.
 */
const { monitor, server, url } = await startDemo()
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
})
try {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1_280, height: 1_200 } })
    await page.goto(url)
    await page.getByRole('status').getByText('Live').waitFor()
    const name = colorScheme === 'light' ? 'dashboard.png' : 'dashboard-dark.png'
    await page.screenshot({ path: fileURLToPath(new URL(`../docs/${name}`, import.meta.url)) })
    await page.close()
  }
} finally {
  await browser.close()
  server.closeAllConnections()
  server.close()
  await monitor.close()
}
