import type {
  KyselyPlugin,
  PluginTransformQueryArgs,
  PluginTransformResultArgs,
  QueryResult,
  RootOperationNode,
  SelectQueryNode,
  UnknownRow,
} from 'kysely'
import { defaultNode, dialectOfSql, markIntendedQuery, type SqlDialect } from '../../shared/sql/statement.ts'
import { untilAborted } from '../../shared/time/waiting.ts'
import { QueryUnsupportedError } from '../errors.ts'
import { refuseNameTwice } from './grouped-query.ts'
import { parameter, type SqlStyle } from './sql-nodes.ts'

export type Row = Record<string, unknown>

/** Whether a condition in a row is true. Drivers give `true`, `'t'` or 1. */
export function isTrue(value: unknown): boolean {
  return value === true || value === 't' || Number(value) === 1
}

/** @throws QueryUnsupportedError when the rows do not have the names that the statement gives to its columns */
export function expectColumn(row: Row | undefined, name: string): void {
  if (row === undefined || name in row) return
  throw new QueryUnsupportedError(
    `The rows have no column \`${name}\`, which the statement of a page selects: let the driver and plugins leave such names as they are`,
  )
}

/** @throws QueryUnsupportedError when a row has anything but a text in a column that the statement selects as text */
export function expectTexts(rows: readonly Row[], name: string): void {
  if (rows.every((row) => typeof row[name] === 'string')) return
  throw new QueryUnsupportedError(
    `The column \`${name}\`, which the statement of a page selects, is no text in the rows: let the driver's parsers and plugins leave texts as they are`,
  )
}

/** The methods of Kysely's select query builder that we call, without its type parameters. */
export interface SelectQuery {
  orderBy(expression: object): SelectQuery
  withPlugin(plugin: KyselyPlugin): SelectQuery
  compile(): { readonly sql: string }
  execute(options?: { signal?: AbortSignal }): Promise<Row[]>
}

/** The query without its types. The public functions give their results the types back. */
export function untyped(query: object): SelectQuery {
  return query as SelectQuery
}

/** What a builder returns: a statement to run in place of the query, and anything else that the caller needs. */
interface Built {
  readonly statement: RootOperationNode
}

/**
 * Runs our own statements through the executor of a query: over its connection or transaction, and through the user's
 * plugins. These have already rewritten the node that a statement is built from.
 */
export class QueryRunner implements KyselyPlugin, SqlStyle {
  readonly dialect: SqlDialect
  readonly quote: string | undefined
  readonly #query: SelectQuery
  #build: (node: SelectQueryNode) => Built = buildSample
  #built: Built = sample

  constructor(query: SelectQuery, dialect?: SqlDialect) {
    this.#query = query.withPlugin(this)
    const sql = dialect === undefined ? this.#query.compile().sql : undefined
    this.dialect = dialect ?? dialectOfSql(sql as string)
    const quote = this.dialect === 'mysql' ? '`' : '"'
    this.quote = sql === undefined || sql.includes(`${quote}x${quote}`) ? quote : undefined
  }

  /**
   * Builds a statement from the query's node, and runs it. When `build` throws, nothing is sent.
   *
   * @returns the rows, and what `build` returned
   */
  run<Result extends Built>(
    build: (node: SelectQueryNode) => Result,
    signal?: AbortSignal,
  ): Promise<{ rows: Row[]; built: Result }> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    this.#build = build
    const execution = this.#query.execute(signal && { signal })
    // Kysely compiles before its first `await`, so `#built` is what this `build` returned, even if other statements run
    // at the same time. If `build` threw, the execution rejects.
    const built = this.#built as Result
    const read = signal === undefined ? execution : untilAborted(execution, signal)
    // An async function would take longer, and this runs for each page.
    return read.then(
      (rows) => {
        if (this.dialect === 'sqlite') refuseNameTwice(built.statement, rows[0])
        return { rows, built }
      },
      (error) => {
        refuseNameTwice(built.statement, undefined, error)
        throw error
      },
    )
  }

  /** The rows of a statement that is built from the query's node. */
  async rows(build: (node: SelectQueryNode) => RootOperationNode, signal?: AbortSignal): Promise<Row[]> {
    const { rows } = await this.run((node) => ({ statement: build(node) }), signal)
    return rows
  }

  /** The SQL of a statement, as the query's own compiler writes it. */
  compile(statement: SelectQueryNode): string {
    this.#build = () => ({ statement })
    return this.#query.compile().sql
  }

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    this.#built = this.#build(node as SelectQueryNode)
    const { statement } = this.#built
    markIntendedQuery(statement)
    return statement
  }

  transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return Promise.resolve(result)
  }
}

/** `select $1, "x", default`: its SQL shows the dialect and the quotes of a compiler. */
const sample: Built = {
  statement: {
    kind: 'SelectQueryNode',
    selections: [parameter(1), { kind: 'IdentifierNode', name: 'x' }, defaultNode],
  } as object as SelectQueryNode,
}

function buildSample(): Built {
  return sample
}
