import { withDeadline } from '../../shared/time/waiting.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import { cancelRunning } from '../cancel/cancel-running.ts'
import { type CancellablePgClient, postgresControl } from '../cancel/postgres-control.ts'

/** The part of a client of `pg` whose statements are limited. */
interface LimitedPgClient extends CancellablePgClient {
  query(sql: unknown, ...rest: unknown[]): unknown
}

/**
 * Lets the server end the statements of a new connection. Behind a pooler the session is not ours, and the limit would
 * stay on the connections of other clients. There the limit is not set, and statements are cancelled from here.
 */
export function setStatementTimeout(client: LimitedPgClient, timeoutMs: number, onWarn: OnWarn): void {
  const { query } = client
  let isPooled = false
  const limit = async (running: Promise<unknown>): Promise<unknown> => {
    const answer = await withDeadline(running, timeoutMs)
    if (answer !== undefined || !isPooled) return running
    const runHarmless = () => query.call(client, 'select 1') as Promise<unknown>
    const { stillRunning } = await cancelRunning(running, { ...postgresControl(client), runHarmless })
    await stillRunning
    return running
  }
  client.query = (...args) => {
    const running = query.apply(client, args)
    return running instanceof Promise ? limit(running) : running
  }
  // One statement both checks whose session it is and sets the limit, because the next statement may reach another
  // session.
  const sql = `select set_config('statement_timeout', '${timeoutMs}', false) where pg_backend_pid() = ${client.processID}`
  const isSet = query.call(client, sql) as Promise<{ readonly rows: readonly unknown[] }>
  isSet.then(
    ({ rows }) => {
      isPooled = rows.length === 0
      if (isPooled) onWarn(behindPooler)
      else client.query = query
    },
    () => {},
  )
}

const behindPooler = {
  code: 'STATEMENT_TIMEOUT_BEHIND_POOLER',
  message:
    "A pooler shares the server's sessions among its clients, so `timeoutVia: 'set'` would limit theirs too. Statements that take longer than `statementTimeout` are cancelled from here instead; cursors are not limited. `instrument({ timeout })` limits both",
}
