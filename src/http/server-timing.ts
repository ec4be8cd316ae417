import type { ServerResponse } from 'node:http'
import { performance } from 'node:perf_hooks'
import type { OpenRequestScope } from '../shared/scope/request-scope.ts'
import { wait, waitNames } from '../shared/scope/wait-names.ts'
import type { Warning } from '../shared/warnings.ts'
import type { HttpRequest } from './answer.ts'
import { beforeHead } from './node-response/response-head.ts'
import { createGate, type Gate } from './performance/authorize.ts'

/** Whether a request may see where its time went; a promise if the user's `authorize` decides. */
export type MaySeeTiming = (request: HttpRequest) => boolean | Promise<boolean>

/** The gates of monitors whose performance routes exist. */
const gatesByMonitor = new WeakMap<object, Gate>()

/** Remembers the gate of the performance routes, which also decides who sees `Server-Timing`. */
export function rememberGate(monitor: object, gate: Gate): void {
  gatesByMonitor.set(monitor, gate)
}

/** Makes the rule for who sees `Server-Timing`. Until a monitor has performance routes, their default gate decides. */
export function createTimingGate(monitor: { warn(warning: Warning): void }): MaySeeTiming {
  let usual: Gate | undefined
  return (request) => {
    usual ??= createGate(undefined, process.env, (warning) => monitor.warn(warning))
    const gate = gatesByMonitor.get(monitor) ?? usual
    const refusal = gate(request)
    return refusal instanceof Promise ? refusal.then((answer) => answer === undefined) : refusal === undefined
  }
}

/** Adds `Server-Timing` to the head of the response, if the request may see it by then. */
export function addServerTiming(
  response: ServerResponse,
  scope: OpenRequestScope,
  asked: boolean | Promise<boolean>,
): void {
  let isAllowed = asked === true
  // Only the user's function answers later. Do not wait for it: a handler may answer at once.
  if (asked instanceof Promise) {
    asked.then(
      (allowed) => {
        isAllowed = allowed
      },
      () => {},
    )
  }
  beforeHead(response, () => {
    if (!isAllowed) return { set: {}, remove: [] }
    const before = response.getHeader('server-timing')
    const timing = serverTimingOf(scope)
    return { set: { 'server-timing': before === undefined ? timing : `${String(before)}, ${timing}` }, remove: [] }
  })
}

/** Clients refuse answers whose head is longer than 16 KiB in all. */
const maxLength = 4_096

/**
 * The parts of the request's time so far, in milliseconds (W3C Server Timing), then as many of the user's names as have
 * room.
 */
export function serverTimingOf({ waits }: OpenRequestScope): string {
  const now = performance.now()
  waits.settle(now)
  const { pool, database: db, cache, upstream, loop } = wait
  const places = { pool, db, cache, upstream, loop, rest: waitNames.length }
  const entries = Object.entries(places).map(([name, place]) => entryOf(name, waits.ms[place] as number))
  let timing = entries.join(', ')
  for (const [name, ofName] of waits.named ?? []) {
    const longer = `${timing}, ${entryOf(name, ofName.settle(now).ms[upstream] as number)}`
    if (longer.length > maxLength) break
    timing = longer
  }
  return timing
}

function entryOf(name: string, ms: number): string {
  return `${name};dur=${Math.round(ms * 1_000) / 1_000}`
}
