import { expectOneOf, expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import { createWarner, type OnWarn } from '../../shared/warnings.ts'

/** Options of `tunePgPool` and `tuneMysqlPool`. */
export interface PoolTuning {
  /**
   * Pings a connection before handing it out: each time (`true`), or when it was idle for a second (`'idle'`), which costs a
   * busy server nothing. @defaultValue `'idle'`
   */
  readonly prePing?: boolean | 'idle' | undefined
  /** How long the answer to a ping may take. @defaultValue `'1s'` */
  readonly pingTimeout?: Duration | undefined
  /**
   * Replaces connections of this age, each up to a tenth earlier, so that they do not all close at once.
   * @defaultValue never
   */
  readonly recycle?: Duration | undefined
  /** How long to wait for a connection before `ERR_POOL_TIMEOUT`. @defaultValue `'30s'` */
  readonly acquireTimeout?: Duration | undefined
  /** Warns of connections held longer, with the line that took them. @defaultValue never */
  readonly leakAfter?: Duration | undefined
  /** The server ends statements that take longer. @defaultValue none */
  readonly statementTimeout?: Duration | undefined
  /**
   * How `statementTimeout` reaches the server. With `'startup'`, it is sent as a parameter of the connection. PgBouncer
   * drops that parameter, and must have it in `ignore_startup_parameters`. With `'set'`, a statement sets it on each new
   * connection. Behind a pooler of PostgreSQL, that would limit other clients, so statements are cancelled from here
   * instead, with a warning. MySQL's protocol has no such parameter, so both mean `'set'` there.
   *
   * @defaultValue `'startup'`
   */
  readonly timeoutVia?: 'startup' | 'set' | undefined
  /** Receives warnings. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}

/** {@link PoolTuning} with defaults, and durations in milliseconds. */
export interface ParsedTuning {
  readonly prePing: boolean | 'idle'
  readonly pingTimeoutMs: number
  readonly recycleMs: number
  readonly acquireTimeoutMs: number
  readonly leakAfterMs: number | undefined
  readonly statementTimeoutMs: number | undefined
  readonly timeoutVia: 'startup' | 'set'
  readonly onWarn: OnWarn
}

const poolTuning: OptionKinds<PoolTuning> = {
  prePing: 'own',
  pingTimeout: 'own',
  recycle: 'own',
  acquireTimeout: 'own',
  leakAfter: 'own',
  statementTimeout: 'own',
  timeoutVia: 'own',
  onWarn: 'function',
}

/** @throws TypeError for a bad option */
export function parseTuning(tuning: PoolTuning): ParsedTuning {
  expectOptions(tuning, poolTuning)
  const { prePing = 'idle', pingTimeout = '1s', recycle, acquireTimeout = '30s', leakAfter } = tuning
  const { statementTimeout, timeoutVia = 'startup', onWarn } = tuning
  return {
    prePing: expectOneOf(prePing, 'prePing', [true, false, 'idle']),
    pingTimeoutMs: parseDuration(pingTimeout, 'pingTimeout'),
    recycleMs: recycle === undefined ? Infinity : parseDuration(recycle, 'recycle'),
    acquireTimeoutMs: parseDuration(acquireTimeout, 'acquireTimeout'),
    leakAfterMs: leakAfter === undefined ? undefined : parseDuration(leakAfter, 'leakAfter'),
    statementTimeoutMs:
      statementTimeout === undefined ? undefined : parseDuration(statementTimeout, 'statementTimeout'),
    timeoutVia: expectOneOf(timeoutVia, 'timeoutVia', ['startup', 'set']),
    onWarn: createWarner(onWarn),
  }
}
