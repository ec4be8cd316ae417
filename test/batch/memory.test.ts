import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const count = Number(process.env.LARGE_COUNT ?? 20_000)

describe(`the heap over ${count} items of an async source`, () => {
  // Fewer than fifteen bytes for each item between the two readings: a single reference would be seen.
  const limit = 256 * 1_024

  it.each([
    ['with a processor that returns nothing', 'nothing'],
    ['with results that are not kept', 'dropped'],
    ['with a time limit and retries', 'retried'],
    ['in chunks', 'chunks'],
    ['as a stream', 'stream'],
  ])(
    'stays flat %s',
    async (_, run) => {
      const program = join(import.meta.dirname, 'support/heap-growth.ts')
      const { stdout } = await promisify(execFile)(process.execPath, [program, String(count), run])
      const { processed, growth } = JSON.parse(stdout) as { processed: number; growth: number }
      expect(processed).toBe(count)
      expect(growth).toBeLessThan(limit)
    },
    120_000,
  )
})
