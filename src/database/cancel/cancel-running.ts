import { withDeadline } from '../../shared/time/waiting.ts'
import type { ConnectionControl } from './connection-control.ts'

/**
 * How long each step may take: the request to the server, then the end of the query, then its end after the connection
 * was closed. MariaDB may take two seconds to wake a thread that it kills.
 */
const graceMs = 3_000

/** After this time the server is asked again. The pause doubles each time. */
const askAgainMs = 100

/** How to end a query from outside. Without `destroy`, a query that ignores the request runs on. */
export interface CancellableSession
  extends Pick<ConnectionControl, 'cancel'>,
    Partial<Pick<ConnectionControl, 'destroy'>> {
  /** Runs a harmless statement. It is the one that a late cancellation hits, after its query has ended. */
  runHarmless(): Promise<unknown>
}

/** How a query has ended after it was cancelled. */
export interface CancelledQuery<Answer> {
  /** Set when the query ended by itself before the server was asked. */
  readonly result?: Answer
  readonly error?: unknown
  /** Set if the query did not end in time. Settles when it has ended: nothing else may use its connection until then. */
  readonly stillRunning?: Promise<unknown>
}

/**
 * Cancels a query that runs on a connection. When it resolves without `stillRunning`, the query has ended on the server, and
 * no cancellation is under way that could hit the next query of the connection. Never rejects.
 */
export async function cancelRunning<Answer>(
  running: Promise<Answer>,
  session: CancellableSession,
): Promise<CancelledQuery<Answer>> {
  const settled = endOf(running)
  let hasEnded = false
  let isDestroyed = false
  let isSent = false
  void settled.then(() => {
    hasEnded = true
  })
  // The query may end while the request waits for its own connection. If the request were sent after that, it would hit
  // the next query. A closed connection has no next query, but its query may still run on the server.
  const isWanted = () => {
    const isNow = !hasEnded || isDestroyed
    isSent ||= isNow
    return isNow
  }
  const asked = askUntilEnded().then(
    () => true,
    () => false,
  )
  const cancelled = Promise.race([settled, asked.then((isAsked) => (isAsked ? settled : undefined))])
  let end = await withDeadline(cancelled, graceMs)
  if (end === undefined) {
    isDestroyed = session.destroy !== undefined
    session.destroy?.()
    end = await withDeadline(settled, isDestroyed ? graceMs : 0)
  }
  const stillRunning = Promise.all([settled, asked])
  if (end === undefined) return { stillRunning }
  if (isSent) {
    if ((await withDeadline(asked, graceMs)) === undefined) return { ...end, stillRunning }
    await withDeadline(endOf(session.runHarmless()), graceMs)
  }
  return end

  // A request that arrives before its query finds nothing to cancel, and servers do not report that. So ask again.
  async function askUntilEnded(): Promise<void> {
    for (let pauseMs = askAgainMs; ; pauseMs *= 2) {
      await session.cancel(isWanted)
      await withDeadline(settled, pauseMs)
      if (hasEnded) return
    }
  }
}

/** How a query ends. Never rejects. */
export function endOf<Answer>(running: Promise<Answer>): Promise<CancelledQuery<Answer>> {
  return running.then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  )
}
