import { DatabaseSync } from 'node:sqlite'
import { CompiledQuery, Kysely, SqliteDialect } from 'kysely'
import {
  batchProcess,
  createCache,
  instrument,
  nodeSqlite,
  PerformanceMonitor,
  requestScope,
  withQueryScope,
} from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'

const work: Readonly<Record<string, (fn: () => Promise<unknown>) => Promise<unknown>>> = {
  'a load': (fn) => createCache().getOrSet('key', fn),
  'a load of a job': (fn) => withQueryScope('job', () => createCache().getOrSet('key', fn)),
  'a batch of a job': (fn) =>
    withQueryScope('job', async () => (await batchProcess([1], fn, { onError: 'skip' })).failures[0]?.error),
}

/** Queries of SQLite are refused once nobody waits. */
function openQuery() {
  const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { abandon: 'cancel' }))
  onTestFinished(() => db.destroy())
  return () => db.executeQuery(CompiledQuery.raw('select 1'))
}

describe.each(Object.keys(work))('`withQueryScope` within %s', (name) => {
  it('ends the queries in it', async () => {
    const query = openQuery()
    const signal = AbortSignal.abort(new Error('enough'))
    const outcome = await work[name]?.(() => withQueryScope('part', query, { signal })).catch((error) => error)
    expect(outcome).toBe(signal.reason)
  })
})

it('a scope within a load ends with the load, not with the request that began it', async () => {
  const query = openQuery()
  const cache = createCache()
  const left = new AbortController()
  const go = Promise.withResolvers<void>()
  const load = () =>
    withQueryScope(
      'part',
      async () => {
        await go.promise
        await query()
        return requestScope()?.signal.aborted
      },
      { deadline: '1h' },
    )
  const first = withQueryScope('first', () => cache.getOrSet('key', load), { signal: left.signal })
  const second = withQueryScope('second', () => cache.getOrSet('key', load))
  left.abort(new Error('left'))
  await expect(first).rejects.toThrow('left')
  go.resolve()
  expect(await second).toBe(false)
})

it('a health check does not fail because the probe that began it has left', async () => {
  const query = openQuery()
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const go = Promise.withResolvers<void>()
  monitor.check('database', () => go.promise.then(query))
  const left = new AbortController()
  const first = withQueryScope('first', () => monitor.health('ready'), { signal: left.signal })
  const second = withQueryScope('second', () => monitor.health('ready'))
  left.abort(new Error('left'))
  go.resolve()
  expect(await second).toMatchObject({ status: 'pass' })
  expect(await first).toMatchObject({ status: 'pass' })
})
