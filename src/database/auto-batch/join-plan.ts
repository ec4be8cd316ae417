import type { CompiledQuery, OperationNode, QueryCompiler, SelectQueryNode } from 'kysely'
import type { Execute } from '../execute.ts'

/**
 * The column that numbers the lookups of a joined statement, from 1. Drivers that write names in camelCase leave it as it
 * is.
 */
export const numberColumn = 'posthasten'

/** How lookups with one SQL text become one statement. */
export interface JoinPlan {
  /**
   * Positions of parameters whose value all lookups of a statement must share: those of a LIMIT, and those that the
   * database computes with before it reads a row.
   */
  readonly sharedPositions: readonly number[]
  /**
   * How to prove that joined rows are those of the separate queries.
   *
   * - `'rows'`: the first rows are compared
   * - `'columns'`: rows are compared until each column has shown a value, because a union may change how the driver reads
   *   it
   * - `'none'`: no proof is needed
   */
  readonly proof: 'none' | 'rows' | 'columns'
  /**
   * Reads from the database what joining these lookups needs, on a connection outside a transaction.
   *
   * @returns why the lookups cannot be joined
   */
  readonly learn: ((execute: Execute, lookups: readonly CompiledQuery[]) => Promise<string | undefined>) | undefined
  /** @returns `undefined` when these values cannot be joined */
  join(lookups: readonly CompiledQuery[]): JoinedSql | undefined
}

export interface JoinedSql {
  readonly sql: string
  readonly parameters: readonly unknown[]
  /**
   * The value of {@link numberColumn} for each lookup, if it is not the lookup's number. Such a statement is the original
   * query with more values, so its rows need no proof.
   */
  readonly keys?: readonly string[]
}

/** A statement that answers several lookups. Statistics count it once, under the shape of the lookups. */
export interface JoinedQuery extends CompiledQuery {
  readonly lookups: readonly CompiledQuery[]
}

/** The lookups that a joined statement answers; `undefined` for every other query. */
export function lookupsOf(query: CompiledQuery): readonly CompiledQuery[] | undefined {
  return (query as Partial<JoinedQuery>).lookups
}

/** A number that no query contains. It stands where the part that differs between lookups is put in. */
export const placeholder = '7105104'

/** @returns the text of the query before and after its only placeholder */
export function compileAround(
  node: SelectQueryNode,
  { queryId }: CompiledQuery,
  compile: QueryCompiler['compileQuery'],
): { readonly before: string; readonly after: string } | undefined {
  const [before, after, more] = compile(node, queryId).sql.split(placeholder)
  return before === undefined || after === undefined || more !== undefined ? undefined : { before, after }
}

/**
 * Adds {@link numberColumn} to the query's columns. In a derived table around the query, the number would cost twice as
 * much.
 */
export function withNumber(node: SelectQueryNode, number: OperationNode): SelectQueryNode {
  const alias = { kind: 'IdentifierNode', name: numberColumn }
  const selection = { kind: 'SelectionNode', selection: { kind: 'AliasNode', node: number, alias } }
  return { ...node, selections: [...(node.selections ?? []), selection] } as unknown as SelectQueryNode
}

/** Words of statements that write or lock, and of samples that differ from run to run. */
const refusedWords = new Set([
  'insert',
  'update',
  'delete',
  'merge',
  'into',
  'for',
  'lock',
  'call',
  'returning',
  'procedure',
  'tablesample',
])

/** Why no query with these names is joined, on any database. */
export function refusalOf(names: ReadonlySet<string>, tokens: readonly string[]): string | undefined {
  const word = tokens.find((token) => refusedWords.has(token.toLowerCase()))
  if (word !== undefined) return `it contains '${word}'`
  return [...names].some((name) => name.toLowerCase().startsWith('posthaste_'))
    ? 'it contains a name that starts with posthaste_'
    : undefined
}

export const unreadableText = 'its SQL has a comment, a backslash, a dollar quote, or a string with a prefix'
