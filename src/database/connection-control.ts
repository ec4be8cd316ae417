/** What a tuned pool can do to one of its connections from outside. */
export interface ConnectionControl {
  /**
   * Asks the server to cancel what the connection runs now.
   *
   * @param isWanted - asked immediately before, because connecting takes a while: a late request hits the next query
   */
  cancel(isWanted: () => boolean): Promise<void>
  /** Closes its socket, so that whatever runs on it fails. */
  destroy(): void
}

const controls = new WeakMap<object, ConnectionControl>()

let receiver: ((control: ConnectionControl) => void) | undefined

/**
 * Calls the function and gives what the tuned pool behind it handed out. Kysely's drivers keep pool and client private, but
 * they ask the pool at once when they are asked, and so the pool knows here for whom it fetches a connection.
 */
export function receiveControl<Result>(run: () => Result, receive: (control: ConnectionControl) => void): Result {
  receiver = receive
  try {
    return run()
  } finally {
    receiver = undefined
  }
}

/** For pools: who wants the control of the connection that is being fetched; to be asked at once. */
export function controlReceiver(): ((control: ConnectionControl) => void) | undefined {
  return receiver
}

export function setControl(connection: object, control: ConnectionControl): void {
  controls.set(connection, control)
}

export function controlOf(connection: object): ConnectionControl | undefined {
  return controls.get(connection)
}
