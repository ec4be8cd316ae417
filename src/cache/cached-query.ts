import { queryTables } from './query-tables.ts'
import type { TableTag } from './tags.ts'
import type { Cache, EntryOptions } from './types.ts'

/** A Kysely query, as far as it is used here. */
export interface CacheableQuery<Row> {
  compile(): { readonly sql: string; readonly parameters: readonly unknown[]; readonly query: object }
  execute(): Promise<Row[]>
  withPlugin(plugin: PluginLike): { toOperationNode(): unknown }
}

interface PluginLike {
  transformQuery<Args extends { readonly node: unknown }>(args: Args): Args['node']
  transformResult<Args extends { readonly result: unknown }>(args: Args): Promise<Args['result']>
}

/** How the rows of a query are cached. */
export interface CachedQueryOptions<Name extends string = string, Tag extends string = string>
  extends EntryOptions<Name, Tag> {
  /** Keeps apart the entries of databases that share a namespace and are asked in the same words. */
  readonly name?: string | undefined
}

/**
 * The rows of a Kysely query, cached under its SQL and parameters, with the tag `table:<name>` of every table that it reads.
 * Inside a transaction the query runs, and nothing is read from the cache or stored in it.
 *
 * @throws TypeError for a query with raw SQL, which may read any table, unless `tags` are given
 *
 * @example
 * ```ts
 * const users = await cachedQuery(cache, db.selectFrom('users').selectAll(), { ttl: '1m' })
 * await cache.invalidateTags('table:users')
 * ```
 */
export async function cachedQuery<Row, Name extends string, Tag extends string>(
  cache: Pick<Cache<Name, Tag>, 'getOrSet'>,
  query: CacheableQuery<Row>,
  options: CachedQueryOptions<Name, Tag> = {},
): Promise<Row[]> {
  if (isInTransaction(query)) return query.execute()
  const { name = '', tags = [], ...rest } = options
  const { sql, parameters, query: node } = query.compile()
  const { tables, hasRawSql } = queryTables(node)
  if (hasRawSql && tags.length === 0) {
    throw new TypeError('Expected `tags` for a query with raw SQL, whose tables cannot be told, got none')
  }
  const tableTags = tables.map((table): TableTag => `table:${table}`)
  return cache.getOrSet(['query', name, sql, parameters], () => query.execute(), {
    ...rest,
    tags: [...tags, ...tableTags],
  })
}

/**
 * Whether the query belongs to a transaction. Kysely says so nowhere, but passes a query of a transaction on from one executor
 * to another before a plugin sees it, which shows on the stack. Method names stay when code is minified; class names do not.
 */
function isInTransaction(query: CacheableQuery<unknown>): boolean {
  let executors = 0
  const probe: PluginLike = {
    transformQuery({ node }) {
      executors = stack().filter((line) => /\btransformQuery\b/.test(line)).length - 1
      return node
    },
    transformResult: async ({ result }) => result,
  }
  query.withPlugin(probe).toOperationNode()
  return executors > 1
}

function stack(): readonly string[] {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 5
  const { stack: text = '' } = new Error()
  Error.stackTraceLimit = limit
  // The first lines are the message, this function and its caller.
  return text.split('\n').slice(2)
}
