import { expectObject, expectOptions, type OptionKinds } from '../shared/arguments.ts'
import { queryTables } from '../shared/sql/query-tables.ts'
import type { TableTag } from './tags.ts'
import type { Cache, EntryOptions } from './types.ts'

/** The methods of a Kysely query that {@link cachedQuery} calls. */
export interface CacheableQuery<Row> {
  compile(): { readonly sql: string; readonly parameters: readonly unknown[]; readonly query: object }
  execute(): Promise<Row[]>
  withPlugin(plugin: PluginLike): { toOperationNode(): unknown }
}

interface PluginLike {
  transformQuery<Args extends { readonly node: unknown }>(args: Args): Args['node']
  transformResult<Args extends { readonly result: unknown }>(args: Args): Promise<Args['result']>
}

/** Options of {@link cachedQuery}. */
export interface CachedQueryOptions<Name extends string = string, Tag extends string = string>
  extends EntryOptions<Name, Tag> {
  /**
   * Begins the key. Needed where the same SQL can return different rows: with a database for each tenant, under row-level
   * security, with another `search_path`, or through plugins, for example with and without `CamelCasePlugin`.
   */
  readonly name?: string | undefined
  /**
   * The Kysely instance or transaction that the query was built from. It tells whether the query runs in a transaction.
   * Without it, the call stack of a Kysely plugin tells.
   */
  readonly db?: { readonly isTransaction: boolean } | undefined
}

const cachedQueryOptions: OptionKinds<CachedQueryOptions> = {
  name: 'text',
  db: 'object',
  profile: 'own',
  ttl: 'own',
  stale: 'own',
  tags: 'texts',
}

/**
 * Runs a Kysely query and caches its rows. The key is the SQL with its parameters. The tags are `table:<name>` for every table
 * that the query reads, and the given `tags`. Inside a transaction the query always runs, without the cache. A transaction that
 * was begun by raw SQL is not recognized.
 *
 * @throws TypeError for a query that writes, and for one with raw SQL but without `tags`: raw SQL may read any table
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
  options: CachedQueryOptions<NoInfer<Name>, NoInfer<Tag>> = {},
): Promise<Row[]> {
  expectObject(cache, 'cache', ['getOrSet'], 'a cache')
  expectObject(query, 'query', ['compile', 'execute', 'withPlugin'], 'a query that was not executed')
  expectOptions(options, cachedQueryOptions)
  const { name = '', tags = [], db, ...rest } = options
  if (db === undefined ? isInTransaction(query) : db.isTransaction) return query.execute()
  const { sql, parameters, query: node } = query.compile()
  const { tables, writes, hasRawSql } = queryTables(node)
  if (writes.length > 0) {
    throw new TypeError(`Expected \`query\` to only read, got one that writes to ${writes.join(', ')}`)
  }
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
 * Whether the query belongs to a transaction. Kysely has no property for that, but in a transaction a query passes through two
 * executors before a plugin sees it, which shows on the stack. The test looks for a method's name, because minifiers keep those
 * and change the names of classes.
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
  const { stackTraceLimit, prepareStackTrace } = Error
  // A `prepareStackTrace` of the program may return something other than text.
  Object.assign(Error, { stackTraceLimit: 5, prepareStackTrace: undefined })
  const { stack: text = '' } = new Error()
  Object.assign(Error, { stackTraceLimit, prepareStackTrace })
  // The first two lines are the message and this function.
  return text.split('\n').slice(2)
}
