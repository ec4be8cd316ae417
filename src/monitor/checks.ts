import { CompiledQuery } from 'kysely'
import { describeValue, expectNumber } from '../shared/assertions.ts'
import type { CheckFunction } from './health.ts'
import { readDisk } from './system/disk.ts'
import { systemReaders } from './system/readers.ts'
import type { CacheLike } from './types.ts'

/** What is needed of a database: every `Kysely` and transaction has it. */
export interface QueryRunner {
  executeQuery(query: CompiledQuery): Promise<unknown>
}

/**
 * A health check that asks the database for `select 1`, through its pool.
 *
 * @example
 * ```ts
 * monitor.check('database', checkKysely(db))
 * ```
 */
export function checkKysely(db: QueryRunner): CheckFunction {
  return () => db.executeQuery(CompiledQuery.raw('select 1'))
}

/**
 * A health check that fails while a cache's store is down, as the cache itself found when it was used. Mostly not critical:
 * a cache without its store is slow, not broken.
 *
 * @example
 * ```ts
 * monitor.check('cache', checkCache(cache), { critical: false })
 * ```
 */
export function checkCache(cache: CacheLike): CheckFunction {
  return () => {
    const { state } = cache.stats().store
    if (state === 'down') throw new Error("The cache's store is down")
  }
}

/**
 * A health check that fails when a file system is fuller than that.
 *
 * @param path - any path of the file system
 * @param percent - as `df` counts, above 0 and up to 100
 * @throws TypeError or RangeError when an argument is wrong
 */
export function checkDisk(path: string, percent: number): CheckFunction {
  if (typeof path !== 'string' || path === '') {
    throw new TypeError(`Expected \`path\` to be a path, got ${describeValue(path)}`)
  }
  const limit = expectNumber(percent, 'percent', { min: 0, max: 100 })
  return async () => {
    const usage = await readDisk(systemReaders, path)
    if (usage.percent > limit) throw new Error(`The file system of ${path} is ${usage.percent.toFixed(1)} % full`)
  }
}
