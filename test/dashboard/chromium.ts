import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
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

/** A browser with an empty profile of its own. */
export interface Browser {
  readonly context: BrowserContext
  close(): Promise<void>
}

export async function startChromium(options: { readonly javaScriptEnabled?: boolean } = {}): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-chromium-'))
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: chromiumPath as string,
    headless: true,
    viewport: { width: 1_280, height: 900 },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    ...options,
  })
  return {
    context,
    async close() {
      await context.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
