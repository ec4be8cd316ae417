import {
  IdentifierNode,
  type KyselyPlugin,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type QueryResult,
  type RootOperationNode,
  type SelectionNode,
  type SelectQueryNode,
  type UnknownRow,
  type ValueNode,
} from 'kysely'
import { markPageQuery } from '../shared/page-queries.ts'
import type { Language } from './ordered-query.ts'
import type { SqlDialect } from './types.ts'

export type Row = Record<string, unknown>

/** The little of Kysely's select query builder that is needed here, free of its type parameters. */
export interface SelectQuery {
  orderBy(expression: object): SelectQuery
  withPlugin(plugin: KyselyPlugin): SelectQuery
  compile(): { readonly sql: string }
  execute(options?: { signal?: AbortSignal }): Promise<Row[]>
}

/** The query without its types; what comes of it gets them back where it leaves the library. */
export function untyped(query: object): SelectQuery {
  return query as SelectQuery
}

type Build = (node: SelectQueryNode) => RootOperationNode

/**
 * Runs statements of our own through the executor of a query: over its connection or transaction, and behind the
 * user's plugins, which have already rewritten the node that a statement is built from.
 */
export class Source implements KyselyPlugin, Language {
  readonly dialect: SqlDialect
  readonly quote: string | undefined
  readonly #query: SelectQuery
  #build: Build = probe

  constructor(query: SelectQuery, dialect?: SqlDialect) {
    this.#query = query.withPlugin(this)
    const sample = dialect === undefined ? this.compile(probe) : undefined
    this.dialect = dialect ?? dialectOf(sample as string)
    const quote = this.dialect === 'mysql' ? '`' : '"'
    this.quote = sample === undefined || sample.includes(`${quote}x${quote}`) ? quote : undefined
  }

  /** The rows of the statement that is built from the query. Nothing was sent when `build` throws. */
  run(build: Build, signal?: AbortSignal): Promise<Row[]> {
    return signal === undefined ? this.#execute(build) : this.#runUntil(signal, build)
  }

  async #runUntil(signal: AbortSignal, build: Build): Promise<Row[]> {
    signal.throwIfAborted()
    return await abortable(this.#execute(build, signal), signal)
  }

  /** The SQL of a statement, as the query's own compiler writes it. */
  compile(build: Build): string {
    this.#build = build
    return this.#query.compile().sql
  }

  #execute(build: Build, signal?: AbortSignal): Promise<Row[]> {
    // Kysely compiles before its first await, so statements that run at the same time do not mix their builders up.
    this.#build = build
    return this.#query.execute(signal && { signal })
  }

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    const built = this.#build(node as SelectQueryNode)
    markPageQuery(built)
    return built
  }

  transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return Promise.resolve(result)
  }
}

/** A value and a name: `select $1, "x"`. */
const tiny = {
  kind: 'SelectQueryNode',
  selections: [{ kind: 'ValueNode', value: 1 } as ValueNode, IdentifierNode.create('x')] as unknown as SelectionNode[],
} as SelectQueryNode

function probe(): SelectQueryNode {
  return tiny
}

/** How a compiler quotes a name and numbers a parameter tells its dialect. */
function dialectOf(sql: string): SqlDialect {
  if (sql.includes('`')) return 'mysql'
  if (sql.includes('$1')) return 'postgres'
  return sql.includes('@1') ? 'mssql' : 'sqlite'
}

async function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
