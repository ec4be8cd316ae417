import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

describe('recording a request', () => {
  it('allocates nothing', () => {
    const program = fileURLToPath(new URL('./fixtures/allocation.ts', import.meta.url))
    // A heap so large that nothing is collected while it is measured: what was allocated is still there.
    const bytes = Number(execFileSync(process.execPath, ['--max-semi-space-size=512', program], { encoding: 'utf8' }))
    // A packed slice now and then, and what reading the memory takes; one number a request would be 16 MB.
    expect(bytes).toBeLessThan(8_000_000)
  }, 120_000)
})
