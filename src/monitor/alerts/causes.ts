import type { BucketLayout } from '../../shared/buckets.ts'
import type { ShedReason } from '../admission/admission.ts'
import { breakdownOf, largestPart } from '../traffic/breakdown.ts'
import { counterOffset, type Endpoint } from '../traffic/endpoint.ts'
import { sumIndex } from '../traffic/sliding-window.ts'
import type { AlertCause, AlertId, DatabaseSection, SystemStats } from '../types.ts'
import type { CauseOf } from './alerts.ts'

/** What goes on in the process. */
interface CauseInputs {
  readonly now: number
  /** The time that the windows cover. */
  readonly coveredMs: number
  readonly layout: BucketLayout
  readonly endpoints: readonly Endpoint[]
  readonly system: SystemStats
  readonly readDatabase: () => DatabaseSection | null
  /** Why most requests were turned away. */
  readonly shedReason: ShedReason
}

/** A full disk, the errors of a cache and failed requests have nothing to do with the event loop, the garbage collector or the CPU. */
const unexplained: ReadonlySet<AlertId> = new Set(['disk', 'cache_errors', 'error_rate'])

/** The values that do not depend on the alert's target. */
type GeneralCause = Omit<AlertCause, 'query' | 'part' | 'partShare'>

const noCause: AlertCause = {
  stall: null,
  gc: null,
  throttled: null,
  topBlocker: null,
  topBlockerShare: null,
  query: null,
  part: null,
  partShare: null,
}

/** Reads what goes on now and returns the likely cause of each alert. */
export function findCauses(inputs: CauseInputs): CauseOf {
  let general: GeneralCause | undefined
  let database: DatabaseSection | null | undefined
  return (id, target) => {
    if (unexplained.has(id)) return noCause
    general ??= findGeneralCause(inputs)
    // Requests that hold the loop do not fill the memory; garbage collection shows that it is full.
    if (id === 'memory') return { ...noCause, gc: general.gc, throttled: general.throttled }
    if (id === 'shedding') return { ...noCause, ...general, shedReason: inputs.shedReason }
    if (target === null) return { ...noCause, ...general }
    if (database === undefined) database = inputs.readDatabase()
    return { ...general, query: findQuery(database, target), ...findPart(inputs, target) }
  }
}

function findGeneralCause({ now, coveredMs, layout, endpoints, system }: CauseInputs): GeneralCause {
  const { stalls } = system.eventLoop
  const { throttledPercent } = system.cpu
  let topBlocker: string | null = null
  let longestUs = 0
  for (const { method, route, window } of endpoints) {
    const heldUs = window.sumOf(now, layout.length + counterOffset.loopUs)
    if (heldUs <= longestUs) continue
    longestUs = heldUs
    topBlocker = `${method} ${route}`
  }
  return {
    stall: stalls && Math.min(1, stalls.totalMs / coveredMs),
    gc: system.gc && Math.min(1, system.gc.totalMs / coveredMs),
    throttled: throttledPercent === null ? null : throttledPercent / 100,
    topBlocker,
    topBlockerShare: topBlocker === null ? null : Math.min(1, longestUs / 1_000 / coveredMs),
  }
}

/** Where most of the time of the endpoint goes. */
function findPart({ now, endpoints }: CauseInputs, target: string): Pick<AlertCause, 'part' | 'partShare'> {
  const endpoint = endpoints.find(({ method, route }) => `${method} ${route}` === target)
  const sums = endpoint?.window.sumsAt(now)
  const breakdown = sums && breakdownOf(sums, sumIndex.waits, sums[sumIndex.count]!, sums[sumIndex.total]!)
  if (!breakdown) return { part: null, partShare: null }
  const { part, share } = largestPart(breakdown)
  return { part, partShare: share }
}

/** The query that took the most time in requests of the endpoint, among the slow and the repeated ones. */
function findQuery(database: DatabaseSection | null, target: string): string | null {
  const totals = new Map<string, number>()
  for (const { scope, shape, durationMs, totalMs } of [
    ...(database?.slow ?? []),
    ...(database?.nPlusOne ?? []),
  ] as QueryOfScope[]) {
    if (scope === target && typeof shape === 'string') {
      totals.set(shape, (totals.get(shape) ?? 0) + (durationMs ?? totalMs ?? 0))
    }
  }
  return [...totals].sort(([, a], [, b]) => b - a)[0]?.[0] ?? null
}

/** The fields of a slow query, or of a pattern of repeated queries, that are read here. */
interface QueryOfScope {
  readonly scope?: unknown
  readonly shape?: unknown
  readonly durationMs?: number
  readonly totalMs?: number
}
