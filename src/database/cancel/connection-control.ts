/** Acts on a pooled connection from outside, while a query runs on it. */
export interface ConnectionControl {
  /**
   * Asks the server to cancel the query that runs on the connection.
   *
   * @param isWanted - called right before the request is sent. Connecting to send it takes a while, and a late request
   *   would cancel the next query.
   * @throws when the server cannot be asked
   */
  cancel(isWanted: () => boolean): Promise<void>
  /** Closes the socket, so that the running query fails. */
  destroy(): void
}

type ControlListener = (control: ConnectionControl) => void
type QueueListener = (leave: () => void) => void

const controlsByConnection = new WeakMap<object, ConnectionControl>()

let onControlNow: ControlListener | undefined
let onQueuedNow: QueueListener | undefined

/**
 * Runs the function and passes on the control of each connection that it requests from a tuned pool. Kysely's drivers keep
 * the pool and its client private. But they call the pool synchronously, so the pool finds the listeners while `run` runs.
 *
 * @param onQueued - called when the caller begins to wait. `leave` ends the wait: the request is rejected
 */
export function captureControl<Result>(
  run: () => Result,
  onControl: ControlListener,
  onQueued?: QueueListener,
): Result {
  onControlNow = onControl
  onQueuedNow = onQueued
  try {
    return run()
  } finally {
    onControlNow = undefined
    onQueuedNow = undefined
  }
}

/** For pools: the listener of the caller that requests a connection now. Call it synchronously. */
export function controlListener(): ControlListener | undefined {
  return onControlNow
}

/** For pools: whom to tell how the caller leaves the queue. Call it synchronously. */
export function queueListener(): QueueListener | undefined {
  return onQueuedNow
}

export function setControl(connection: object, control: ConnectionControl): void {
  controlsByConnection.set(connection, control)
}

export function controlOf(connection: object): ConnectionControl | undefined {
  return controlsByConnection.get(connection)
}
