/** Where compression reports what it saved; a `PerformanceMonitor` is one. */
export interface SavingsReport {
  addSource(name: string, read: () => unknown): unknown
}

/** What compression saved on a route since the start. */
export interface RouteSavings {
  readonly method: string
  readonly route: string
  /** Answers that were encoded. */
  readonly responses: number
  readonly rawBytes: number
  readonly sentBytes: number
}

/** Adds an answer that was encoded. */
export type RecordSaving = (method: string, route: string, rawBytes: number, sentBytes: number) => void

/** Counts by route what compression saves, as `additions.compression` of the stats document; once for each report. */
export function savingsOf(report: SavingsReport): RecordSaving {
  const known = recorders.get(report)
  if (known !== undefined) return known
  const recorder = createRecorder(report)
  recorders.set(report, recorder)
  return recorder
}

const recorders = new WeakMap<SavingsReport, RecordSaving>()

function createRecorder(report: SavingsReport): RecordSaving {
  const routes = new Map<string, { -readonly [Field in keyof RouteSavings]: RouteSavings[Field] }>()
  report.addSource('compression', () => ({ routes: [...routes.values()].toSorted(byBytesSaved).slice(0, shown) }))
  return (method, route, rawBytes, sentBytes) => {
    const key = `${method} ${route}`
    let savings = routes.get(key)
    if (savings === undefined) {
      savings = { method, route, responses: 0, rawBytes: 0, sentBytes: 0 }
      routes.set(key, savings)
    }
    savings.responses++
    savings.rawBytes += rawBytes
    savings.sentBytes += sentBytes
  }
}

const shown = 100

function byBytesSaved(a: RouteSavings, b: RouteSavings): number {
  return b.rawBytes - b.sentBytes - (a.rawBytes - a.sentBytes)
}
