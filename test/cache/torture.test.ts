import { describe, expect, it } from 'vitest'
import { startRedis } from '../support/servers.ts'
import { services } from '../support/services.ts'
import { runProcesses, type TortureOptions } from './torture/processes.ts'

/** Raise it for a long run. */
const forMs = Number(process.env.TORTURE_MS ?? 1_600)

/** Release 0.1 serves what is too old, for a moment after it was suspended, and lets callers join a load that is. */
const excused = ['posthaste-0.1']

async function run(options: Pick<TortureOptions, 'subject' | 'troubleAfterMs' | 'suspends'>): Promise<void> {
  const server = await startRedis()
  if (server === undefined) return
  try {
    const { url } = server
    const result = await runProcesses({ url, namespace: 'torture', withinMs: 500, forMs, seed: 1, excused, ...options })
    expect(result).toMatchObject({ ownViolations: 0, foreignViolations: 0, failures: [] })
    expect(result.reads).toBeGreaterThan(forMs / 10)
    expect(result.invalidations).toBeGreaterThan(forMs / 100)
  } finally {
    await server.stop()
  }
}

describe.skipIf(!services.redis)('three processes on one Redis', () => {
  const deployment = ['posthaste', 'posthaste-0.1', 'posthaste-0.1'] as const
  it.each([
    ['this release', 'posthaste'],
    ['this release without memory', 'posthaste-without-memory'],
    ['this release and 0.1', deployment],
    ['this release, serving stale entries, and 0.1', ['posthaste', 'posthaste-serve-stale', 'posthaste-0.1']],
  ] as const)(
    'never read what was invalidated, be it well, or evict, be flushed, lose its clock and its subscribers: %s',
    (_, subject) => run({ subject, troubleAfterMs: forMs / 2 }),
    forMs + 30_000,
  )

  it.each([
    ['this release', 'posthaste'],
    ['this release without memory', 'posthaste-without-memory'],
    ['this release and 0.1', deployment],
  ] as const)(
    'never read what was invalidated while they were suspended: %s',
    (_, subject) => run({ subject, suspends: true }),
    forMs + 30_000,
  )
})
