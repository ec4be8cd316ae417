/** A server that listens. */
export interface RunningServer {
  readonly port: number
  /** Stops listening, ends what is open, and resolves when all is closed. */
  close(): Promise<void>
}
