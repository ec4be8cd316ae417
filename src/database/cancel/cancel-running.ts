import { withDeadline } from '../../shared/time/waiting.ts'

/** How long each step may take: the request to the server, the end of the query, the end after its connection is closed. */
const graceMs = 2_000

/** How a query can be ended from outside. */
export interface CancellableSession {
  /**
   * Asks the server to cancel the query. Rejects when the server cannot be asked.
   *
   * @param isWanted - called right before the request is sent. Connecting to send it takes a while, and a late request
   *   would cancel the next query.
   */
  cancel(isWanted: () => boolean): Promise<unknown>
  /** Closes the connection, for a query that does not end although the server was asked. */
  destroy?(): void
  /** Runs a statement without effect, which takes a cancellation that arrives after its query has ended. */
  runHarmless(): Promise<unknown>
}

/** How a query has ended after it was cancelled. */
export interface CancelledQuery<Answer> {
  /** Set when the query ended by itself before the server was asked. */
  readonly result: Answer | undefined
  readonly error: unknown
  /** Settles when the query has ended, if it did not end in time: nothing else may use its connection until then. */
  readonly stillRunning: Promise<unknown> | undefined
}

/**
 * Cancels a query that runs on a connection. When it resolves without `stillRunning`, the query has ended on the server, and
 * no cancellation is under way that could hit the next query of the connection. Never rejects.
 */
export async function cancelRunning<Answer>(
  running: Promise<Answer>,
  session: CancellableSession,
): Promise<CancelledQuery<Answer>> {
  const settled = running.then(
    (result) => ({ result, error: undefined }),
    (error: unknown) => ({ result: undefined, error }),
  )
  let isWanted = true
  let isSent = false
  // The query may end while the request waits for its own connection. Sent after that, it would hit the next query.
  void settled.then(() => {
    isWanted = false
  })
  const asked = session
    .cancel(() => {
      isSent ||= isWanted
      return isWanted
    })
    .then(
      () => true,
      () => false,
    )
  const cancelled = Promise.race([settled, asked.then((isAsked) => (isAsked ? settled : undefined))])
  let end = await withDeadline(cancelled, graceMs, late)
  if (end === undefined) {
    session.destroy?.()
    end = await withDeadline(settled, session.destroy === undefined ? 0 : graceMs, late)
  }
  const isAnswered = !isSent || (await withDeadline(asked.then(answered), graceMs, late))
  if (end === undefined || !isAnswered) {
    return { result: end?.result, error: end?.error, stillRunning: Promise.all([settled, asked]) }
  }
  if (isSent) await withDeadline(session.runHarmless().catch(late), graceMs, late)
  return { ...end, stillRunning: undefined }
}

function late(): undefined {}

function answered(): true {
  return true
}
