import { describe, expect, it } from 'vitest'
import { startRedis } from '../support/servers.ts'
import { services } from '../support/services.ts'
import { runProcesses } from './torture/processes.ts'

/** Raise it for a long run. */
const forMs = Number(process.env.TORTURE_MS ?? 2_000)

describe.skipIf(!services.redis)('three processes on one Redis', () => {
  it.each([
    ['that is well', false],
    ['that evicts, is flushed, loses its clock and its subscribers, while one clock is 30 s ahead', true],
  ])('%s never read what was invalidated', { timeout: forMs + 30_000 }, async (_how, faults) => {
    const server = await startRedis()
    if (server === undefined) return
    try {
      const options = { subject: 'posthaste', namespace: 'torture', withinMs: 500, forMs, seed: 1, faults }
      const result = await runProcesses({ ...options, url: server.url })
      expect(result).toMatchObject({ ownViolations: 0, foreignViolations: 0, failures: [] })
      expect(result.reads).toBeGreaterThan(forMs / 10)
      expect(result.invalidations).toBeGreaterThan(forMs / 100)
    } finally {
      await server.stop()
    }
  })
})
