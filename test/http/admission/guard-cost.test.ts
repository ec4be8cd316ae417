import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

describe('a guard that lets a request in at once', () => {
  it('allocates nothing', () => {
    const program = fileURLToPath(new URL('./fixtures/guard-cost.ts', import.meta.url))
    // A heap so large that nothing is collected while it is measured: what was allocated is still there.
    const output = execFileSync(process.execPath, ['--max-semi-space-size=512', program], { encoding: 'utf8' })
    // What reading the memory takes, and the samples of the limits; one number a request would be 16 MB.
    expect(Number(output.split(' ')[0])).toBeLessThan(8_000_000)
  }, 120_000)
})
