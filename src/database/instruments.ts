import type { SqlDialect } from './dialect.ts'
import type { Execute } from './execute.ts'
import type { OutsideTransactions } from './outside-transactions.ts'
import type { QueryObserver } from './query-observer.ts'
import type { WriteInvalidation } from './write-invalidation.ts'

/** What all connections of one instrumented `Kysely` share. */
export interface Instruments {
  readonly dialect: SqlDialect
  readonly observer: QueryObserver
  readonly outside: OutsideTransactions
  readonly invalidation: WriteInvalidation | undefined
  /** Somebody wants to know how long connections took to get. */
  readonly timesAcquisition: boolean
  readonly timeoutMs: number | undefined
  /** Prepared statements a connection keeps; 0 for none. */
  readonly statements: number
  /** A statement cache was asked for, and the SQLite database is none that can have one. */
  readonly onUnreachableCache: (() => void) | undefined
  /** Runs our own statements on a connection of their own. Set by the driver. */
  borrow: Borrow
}

export type Borrow = <Result>(use: (execute: Execute) => Promise<Result>) => Promise<Result>
