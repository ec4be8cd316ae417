import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { type Cache, type CacheOptions, createCache, instrument, nodeSqlite } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { randomFrom } from '../scope/support/random.ts'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { useRedis } from './support.ts'
import { RandomHistory, staleMs, ttlMs } from './torture/random-history.ts'

const runs = Number(process.env.RUNS ?? 300)
const steps = 60

const profiles = { random: { ttl: `${ttlMs}ms`, stale: `${staleMs}ms`, negativeTtl: '0s', jitter: 0 } } as const
const quiet: CacheOptions<string, string> = { profiles, onWarn: () => {} }

describe('in a random history of reads, renewals, invalidations and time', () => {
  let db: Kysely<unknown>
  // Tags are found only where an instrumented `Kysely` reports what is read.
  beforeAll(() => {
    db = new Kysely(instrument({ dialect: new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }) }))
  })
  afterAll(() => db.destroy())

  const turn = () => new Promise((resolve) => setImmediate(resolve))

  it.each([
    ['at once', {}, 1],
    ['after `loadSoft`', { timeouts: { loadSoft: '1ms' } }, 20],
  ] as const)('no read from memory breaks the promise, with stale values served %s', async (_, options, every) => {
    for (let run = 0; run < runs / every; run++) {
      let now = 1_000_000
      const cache = createCache<string, string>({ clock: () => now, ...quiet, ...options })
      const pass = (ms: number) => {
        now += ms
      }
      const settle = async () => {
        for (let turns = 0; turns < 3; turns++) await turn()
        if ('timeouts' in options) await new Promise((resolve) => setTimeout(resolve, 3))
      }
      const history = new RandomHistory({ cache, random: randomFrom(seed + run), pass, now: () => now, settle })
      await history.run(steps)
      expect(history.violations.slice(0, 1), `SEED=${seed + run}`).toEqual([])
      await cache.close()
    }
  })

  describe.skipIf(!services.redis)('on Redis', () => {
    const redis = useRedis('history')

    it.each([
      ['with memory', {}],
      ['without memory', { memory: false }],
    ] as const)('no read breaks the promise %s', async (_, memory) => {
      for (let run = 0; run < runs / 20; run++) {
        const namespace = `${redis.namespace}-${run}`
        const cache: Cache<string, string> = await redis.open({ ...quiet, ...memory, namespace })
        const settle = async () => {
          for (let turns = 0; turns < 3; turns++) {
            await turn()
            await cache.explain('any')
          }
        }
        const history = new RandomHistory({ cache, random: randomFrom(seed + run), now: () => 0, settle })
        await history.run(steps)
        expect(history.violations.slice(0, 1), `SEED=${seed + run}`).toEqual([])
      }
    })
  })
})
