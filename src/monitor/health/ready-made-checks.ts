import { expectNumber, expectObject, expectText } from '../../shared/arguments.ts'
import type { CacheLike } from '../cache-watch.ts'
import { readDiskSpace } from '../system/disk.ts'
import { systemReaders } from '../system/readers.ts'
import type { CheckFunction } from './health-check.ts'

/** The part of a database that {@link checkKysely} needs; every `Kysely` and `Transaction` has it. */
export interface QueryRunner {
  executeQuery(query: {
    readonly sql: string
    readonly parameters: readonly unknown[]
    readonly query: {
      readonly kind: 'RawNode'
      readonly sqlFragments: readonly string[]
      readonly parameters: readonly never[]
    }
    readonly queryId: { readonly queryId: string }
  }): Promise<unknown>
}

/**
 * A health check that runs `select 1` on a connection of the database's pool.
 *
 * @example
 * ```ts
 * monitor.check('database', checkKysely(db))
 * ```
 */
export function checkKysely(db: QueryRunner): CheckFunction {
  expectObject(db, 'db', ['executeQuery'], 'a Kysely')
  const sql = 'select 1'
  // What `CompiledQuery.raw` returns, made by hand so that `posthaste/monitor` does not load Kysely. Plugins keep data by the
  // id, so each run needs a new one.
  return () =>
    db.executeQuery({
      sql,
      parameters: [],
      query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
      queryId: { queryId: Math.random().toString(36).slice(2, 10) },
    })
}

/**
 * A health check that fails while the store of a cache is down, as seen by the cache's own calls. Usually not critical: a cache
 * without its store is slow, not broken.
 *
 * @example
 * ```ts
 * monitor.check('cache', checkCache(cache), { critical: false })
 * ```
 */
export function checkCache(cache: CacheLike): CheckFunction {
  expectObject(cache, 'cache', ['stats'], 'a cache')
  return () => {
    const { state } = cache.stats().store
    if (state === 'down') throw new Error("The cache's store is down")
  }
}

/**
 * A health check that fails when more than `percent` of a file system is in use.
 *
 * @param path - any path in the file system
 * @param percent - as `df` counts, 0 to 100
 * @throws TypeError or RangeError when an argument is invalid
 */
export function checkDisk(path: string, percent: number): CheckFunction {
  expectText(path, 'path')
  const limit = expectNumber(percent, 'percent', { min: 0, max: 100 })
  return async () => {
    const usage = await readDiskSpace(systemReaders, path)
    if (usage.percent > limit) throw new Error(`The file system of ${path} is ${usage.percent.toFixed(1)} % full`)
  }
}
