import { vi } from 'vitest'

/** Waits until the condition holds, for as long as a busy machine may need. Vitest itself gives up after a second. */
export function until(condition: () => boolean | Promise<boolean>): Promise<unknown> {
  return vi.waitUntil(condition, { timeout: 15_000 })
}
