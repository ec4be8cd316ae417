import type { ConnectionControl } from './connection-control.ts'
import { within } from './within.ts'

/** Of a driver: what came, and before it why it failed. */
export type Callback = (...results: unknown[]) => void

/** How long a cancelled statement may take to end before its connection is closed. */
const graceMs = 2_000

/** Cancels what runs, on the server, when it takes longer; closes the connection when that does not help. */
export async function limitStatement(
  running: Promise<unknown>,
  timeoutMs: number,
  { cancel, destroy }: ConnectionControl,
): Promise<void> {
  let runs = true
  const end = () => {
    runs = false
    return true
  }
  const ended = running.then(end, end)
  if (await within(timeoutMs, ended)) return
  cancel(() => runs).catch(() => {})
  if (!(await within(graceMs, ended))) destroy()
}

/** The same for a statement that calls back when it has ended. */
export function limitCallback(callback: Callback, timeoutMs: number, control: ConnectionControl): Callback {
  const ended = Promise.withResolvers<void>()
  limitStatement(ended.promise, timeoutMs, control)
  return (...results) => {
    ended.resolve()
    callback(...results)
  }
}
