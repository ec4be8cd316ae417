/** Acts on a pooled connection from outside, while a query runs on it. */
export interface ConnectionControl {
  /**
   * Asks the server to cancel the query that runs on the connection.
   *
   * @param isWanted - called right before the request is sent: connecting takes a while, and a late request would cancel
   *   the next query
   * @throws when the server cannot be asked
   */
  cancel(isWanted: () => boolean): Promise<void>
  /** Closes the socket, so that the running query fails. */
  destroy(): void
}

/** A caller that requests a connection. */
interface Requester {
  /** Called with the control of the connection that the caller gets. */
  readonly onControl: (control: ConnectionControl) => void
  /** Called when the caller begins to wait. `leave` ends the wait: the request is rejected. */
  readonly onQueued?: (leave: () => void) => void
}

const controlsByConnection = new WeakMap<object, ConnectionControl>()

let requesterNow: Requester | undefined

/**
 * Runs the function, and passes the requester to each tuned pool that the function requests a connection from. Kysely's
 * drivers keep the pool and its client private. But they call the pool synchronously, so the pool finds the requester
 * while `run` runs.
 */
export function requestConnection<Result>(requester: Requester, run: () => Result): Result {
  requesterNow = requester
  try {
    return run()
  } finally {
    requesterNow = undefined
  }
}

/** For pools: who requests a connection now. Call it synchronously. */
export function currentRequester(): Requester | undefined {
  return requesterNow
}

export function setControl(connection: object, control: ConnectionControl): void {
  controlsByConnection.set(connection, control)
}

export function controlOf(connection: object): ConnectionControl | undefined {
  return controlsByConnection.get(connection)
}
