import { once } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { Kysely, SqliteDialect } from 'kysely'
import { createCache, instrument, nodeSqlite } from '../../../src/index.ts'
import { createTables, names, type Rows, readCached, readDirectly, type Tables, write } from './crm.ts'
import { pick, randomFrom } from './random.ts'

export interface CrmOrders {
  readonly path: string
  readonly redis: string
  readonly namespace: string
  readonly seed: number
  readonly index: number
  readonly operations: number
}

export interface CrmReport {
  readonly operations: number
  readonly stale: readonly string[]
  readonly hits: number
}

const lanes = 3

/** One of several processes that read and write one database, and share one cache. Checks each read of its own changes. */
process.once('message', async ({ path, redis, namespace, seed, index, operations }: CrmOrders) => {
  const cache = createCache({ redis, namespace, coherence: { within: '500ms' }, onWarn: () => {} })
  const dialect = new SqliteDialect({ database: nodeSqlite(createTables(path)) })
  const db = new Kysely<Tables>(
    instrument({ dialect }, { invalidates: cache, autoBatch: index > 0, nPlusOne: false, explain: false }),
  )
  await cache.get('warm')
  const stale: string[] = []
  let done = 0
  const lane = async (number: number) => {
    const random = randomFrom(seed + index * lanes + number)
    const writer = index * lanes + number
    const own = (rows: Rows) => rows.filter((row) => row.writer === writer)
    while (done < operations) {
      done += 1
      if (random() < 0.3) await write(db, writer, random)
      const name = pick(names, random)
      // Nobody else changes these rows, and this lane does nothing meanwhile. Another writer's rows may come with a delay.
      const [cached, direct] = [own(await readCached(cache, db, name)), own(await readDirectly(db, name))]
      if (!isDeepStrictEqual(cached, direct)) {
        stale.push(`${name} of writer ${writer}: ${JSON.stringify(cached)} instead of ${JSON.stringify(direct)}`)
      }
    }
  }
  process.send?.('ready')
  await once(process, 'message')
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)))
  process.send?.('worked')
  // By then every process has heard of every change.
  await once(process, 'message')
  for (const name of names) {
    const [cached, direct] = [await readCached(cache, db, name), await readDirectly(db, name)]
    if (!isDeepStrictEqual(cached, direct)) stale.push(`${name} at the end`)
  }
  const report: CrmReport = { operations: done, stale, hits: cache.stats().hits }
  await new Promise((resolve) => process.send?.(report, resolve))
  await cache.close()
  await db.destroy()
  process.disconnect()
})
