import type { OperationNode, SelectQueryNode } from 'kysely'
import type { NullsPlacement, SqlDialect } from './types.ts'

/** A key of the order, as the statements name it. */
export interface OrderKey {
  readonly node: OperationNode
  /** The node as it is put into statements. */
  readonly sql: OperationNode
  readonly descending: boolean
  readonly nulls: NullsPlacement
  /** Whether a NULL in it is expected. */
  readonly nullable: boolean
  /** Whether it is one of the keys that tell rows apart, which are believed never to be NULL. */
  readonly unique: boolean
}

/** How statements are written. */
export interface Language {
  readonly dialect: SqlDialect
  /** What stands around names; `undefined` when the compiler has a way of its own. */
  readonly quote: string | undefined
}

/** A query without its order, and the keys that it is read by. */
export interface OrderedQuery {
  readonly base: SelectQueryNode
  readonly keys: readonly OrderKey[]
  /** Whether the query is wrapped, because its rows are not those of its tables. */
  readonly grouped: boolean
  /** Tells one order from another; it goes into the fingerprint of cursors. */
  readonly signature: string
}
