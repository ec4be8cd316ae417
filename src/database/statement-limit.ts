import type { ConnectionControl } from './connection-control.ts'
import { within } from './within.ts'

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
