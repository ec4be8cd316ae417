import { withDeadline } from '../../shared/time/waiting.ts'
import type { ConnectionControl } from './connection-control.ts'

/**
 * How long each step may take: the request to the server, the end of the query, the end after its connection is closed.
 * MariaDB may take two seconds to wake a thread that it kills.
 */
const graceMs = 3_000

/** After this time the server is asked again, and after twice as long once more, and so on. */
const askAgainMs = 100

/** How a query can be ended from outside. Without `destroy`, one that does not end although the server was asked runs on. */
export interface CancellableSession
  extends Pick<ConnectionControl, 'cancel'>,
    Partial<Pick<ConnectionControl, 'destroy'>> {
  /** Runs a statement without effect, which takes a cancellation that arrives after its query has ended. */
  runHarmless(): Promise<unknown>
}

/** How a query has ended after it was cancelled. */
export interface CancelledQuery<Answer> {
  /** Set when the query ended by itself before the server was asked. */
  readonly result?: Answer
  readonly error?: unknown
  /** Settles when the query has ended, if it did not end in time: nothing else may use its connection until then. */
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
  // The query may end while the request waits for its own connection. Sent after that, it would hit the next query; there is
  // none on a connection that is closed, while the server may not have noticed.
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
  let end = await withDeadline(cancelled, graceMs, late)
  if (end === undefined) {
    isDestroyed = session.destroy !== undefined
    session.destroy?.()
    end = await withDeadline(settled, isDestroyed ? graceMs : 0, late)
  }
  const stillRunning = Promise.all([settled, asked])
  if (end === undefined) return { stillRunning }
  if (isSent) {
    if ((await withDeadline(asked, graceMs, late)) === undefined) return { ...end, stillRunning }
    await withDeadline(session.runHarmless().catch(late), graceMs, late)
  }
  return end

  // A request that overtakes its query finds nothing to cancel, and servers do not tell.
  async function askUntilEnded(): Promise<void> {
    for (let pauseMs = askAgainMs; ; pauseMs *= 2) {
      await session.cancel(isWanted)
      await withDeadline(settled, pauseMs, late)
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

function late(): undefined {}
