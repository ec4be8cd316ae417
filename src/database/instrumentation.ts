import type { SqlDialect } from '../shared/sql/statement.ts'
import type { OnWarn } from '../shared/warnings.ts'
import type { Abandonment } from './cancel/abandonment.ts'
import type { WithOwnConnection } from './execute.ts'
import type { QueryObserver } from './query-observer.ts'
import type { StrayQueries } from './transactions/stray-queries.ts'
import type { WriteInvalidation } from './transactions/write-invalidation.ts'

/** The state that all connections of one instrumented `Kysely` share. */
export interface Instrumentation {
  readonly dialect: SqlDialect
  /** The number of this instrumentation in the process, from 1. */
  readonly dialectNumber: number
  readonly observer: QueryObserver
  readonly strayQueries: StrayQueries
  readonly invalidation: WriteInvalidation | undefined
  /** Whether the driver measures how long a caller waits for its connection. */
  readonly timesAcquisition: boolean
  readonly timeoutMs: number | undefined
  /** Set with `abandon: 'cancel'`. */
  readonly abandonment: Abandonment | undefined
  /** Whether running queries may have to be cancelled. */
  readonly cancels: boolean
  /** Prepared statements that each connection keeps; 0 turns the cache off. */
  readonly statementLimit: number
  /**
   * Called when the statement cache that the user asked for cannot work: for a SQLite database that is not ours, or a
   * driver that is not `pg`.
   */
  readonly onUnreachableCache: (() => void) | undefined
  readonly withOwnConnection: WithOwnConnection
  readonly onWarn: OnWarn
}
