import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium } from 'playwright-core'
import { findBinary } from '../support/servers.ts'

/** Where a Chromium is: at CHROMIUM_PATH, else Debian's on the PATH. What is not there is said loudly, or is an error. */
export const chromiumPath: string | undefined = find()

function find(): string | undefined {
  const found = process.env.CHROMIUM_PATH ?? findBinary('chromium')
  if (found !== undefined) return found
  if (process.env.REQUIRE_SERVICES === '1') throw new Error('REQUIRE_SERVICES=1, and there is no chromium')
  console.warn('\n  SKIPPED: chromium. Nothing at CHROMIUM_PATH and no `chromium` on the PATH:')
  console.warn('  every test of the live page in a browser is skipped in this run.\n')
  return undefined
}

const options = {
  executablePath: chromiumPath as string,
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
}

/** A browser with an empty profile of its own, in a temporary folder. */
export function startChromium(): Promise<Browser> {
  return chromium.launch(options)
}

/** A browser whose reader has blocked cookies, and with them all storage of a site. */
export async function startChromiumWithoutCookies(): Promise<{ context: BrowserContext; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-chromium-'))
  mkdirSync(join(folder, 'Default'))
  const settings = { profile: { default_content_setting_values: { cookies: 2 } } }
  writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify(settings))
  const context = await chromium.launchPersistentContext(folder, options)
  const close = async () => {
    await context.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
  return { context, close }
}
