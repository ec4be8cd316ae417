import { describe, expect, it } from 'vitest'
import { startRedis } from '../support/servers.ts'
import { services } from '../support/services.ts'
import { runProcesses } from './torture/processes.ts'

/** Raise it for a long run. */
const forMs = Number(process.env.TORTURE_MS ?? 1_600)

describe.skipIf(!services.redis)('three processes on one Redis', () => {
  it.each(['posthaste', 'posthaste-without-memory'])(
    'never read what was invalidated, be it well, or evict, be flushed, lose its clock and its subscribers: %s',
    async (subject) => {
      const server = await startRedis()
      if (server === undefined) return
      try {
        const options = { subject, namespace: 'torture', withinMs: 500, forMs, seed: 1 }
        const result = await runProcesses({ ...options, url: server.url, troubleAfterMs: forMs / 2 })
        expect(result).toMatchObject({ ownViolations: 0, foreignViolations: 0, failures: [] })
        expect(result.reads).toBeGreaterThan(forMs / 10)
        expect(result.invalidations).toBeGreaterThan(forMs / 100)
      } finally {
        await server.stop()
      }
    },
    forMs + 30_000,
  )
})
