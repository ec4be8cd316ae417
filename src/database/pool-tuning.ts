import { expectOneOf } from '../shared/assertions.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'

/** What `tunePgPool` and `tuneMysqlPool` add to a pool. */
export interface PoolTuning {
  /**
   * Asks a connection whether it is alive before handing it out: each time (`true`), or when it was idle for a second
   * (`'idle'`), which costs a busy server nothing. @defaultValue `'idle'`
   */
  readonly prePing?: boolean | 'idle' | undefined
  /** How long the answer may take. @defaultValue `'1s'` */
  readonly pingTimeout?: Duration | undefined
  /** Closes connections of that age, each up to a tenth earlier, so that they do not all go at once. @defaultValue never */
  readonly recycle?: Duration | undefined
  /** How long to wait for a connection before `ERR_POOL_TIMEOUT`. @defaultValue `'30s'` */
  readonly acquireTimeout?: Duration | undefined
  /** Warns of connections held longer, with the line that took them. @defaultValue never */
  readonly leakAfter?: Duration | undefined
  /** Ends statements that take longer. @defaultValue none */
  readonly statementTimeout?: Duration | undefined
  /**
   * How the limit reaches the server. `'startup'`: as a parameter of the connection (PostgreSQL; the same as `'set'` on
   * MySQL, whose protocol has none); behind PgBouncer it has to be in `ignore_startup_parameters`. `'set'`: by a statement
   * on each new connection. `'client'`: by a timer here, which cancels on the server. @defaultValue `'startup'`
   */
  readonly timeoutVia?: 'startup' | 'set' | 'client' | undefined
  /** Receives warnings. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}

/** {@link PoolTuning}, checked, in milliseconds. */
export interface Tuning {
  readonly prePing: boolean | 'idle'
  readonly pingTimeoutMs: number
  readonly recycleMs: number
  readonly acquireTimeoutMs: number
  readonly leakAfterMs: number | undefined
  readonly statementTimeoutMs: number | undefined
  readonly timeoutVia: 'startup' | 'set' | 'client'
  readonly onWarn: OnWarn
}

/** @throws TypeError for a bad option */
export function parseTuning({
  prePing = 'idle',
  pingTimeout = '1s',
  recycle,
  acquireTimeout = '30s',
  leakAfter,
  statementTimeout,
  timeoutVia = 'startup',
  onWarn,
}: PoolTuning): Tuning {
  return {
    prePing: expectOneOf(prePing, 'prePing', [true, false, 'idle']),
    pingTimeoutMs: parseDuration(pingTimeout, 'pingTimeout'),
    recycleMs: recycle === undefined ? Infinity : parseDuration(recycle, 'recycle'),
    acquireTimeoutMs: parseDuration(acquireTimeout, 'acquireTimeout'),
    leakAfterMs: leakAfter === undefined ? undefined : parseDuration(leakAfter, 'leakAfter'),
    statementTimeoutMs:
      statementTimeout === undefined ? undefined : parseDuration(statementTimeout, 'statementTimeout'),
    timeoutVia: expectOneOf(timeoutVia, 'timeoutVia', ['startup', 'set', 'client']),
    onWarn: createWarner(onWarn),
  }
}
