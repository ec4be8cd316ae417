import type { QueryMonitor, QueryReport } from '../types.ts'

type Report = () => QueryReport

interface Reference {
  /** @returns `undefined` when the report's `Kysely` was garbage-collected */
  deref(): Report | undefined
}

/** The reports that a monitor shows in one section. */
const reportsByMonitor = new WeakMap<QueryMonitor, Set<Reference>>()

let collected: FinalizationRegistry<() => void> | undefined

/**
 * Shows a report in the `database` section of a monitor, together with those of other databases.
 *
 * @returns a function that removes the report again
 */
export function showReport(monitor: QueryMonitor, report: Report): () => void {
  const reports = reportsByMonitor.get(monitor) ?? new Set()
  reportsByMonitor.set(monitor, reports)
  const hide = () => void reports.delete(reference)
  const reference = refer(report, hide)
  reports.add(reference)
  monitor.addSource?.('database', () => mergeReports([...reports].flatMap((other) => other.deref()?.() ?? [])))
  return hide
}

/**
 * Holds the report weakly: a `Kysely` that is made for one transaction, as by `prisma-extension-kysely`, is never
 * destroyed, and must not be kept alive.
 */
function refer(report: Report, onCollected: () => void): Reference {
  // Cloudflare Workers have `FinalizationRegistry` since the compatibility date 2025-05-05.
  if (typeof FinalizationRegistry === 'undefined') return { deref: () => report }
  collected ??= new FinalizationRegistry((forget) => forget())
  collected.register(report, onCollected)
  return new WeakRef(report)
}

function mergeReports(reports: readonly QueryReport[]): QueryReport {
  const abandoned = reports.flatMap((report) => report.abandoned ?? [])
  return {
    // If several have a pool, the last one is shown.
    ...reports.findLast(({ pool }) => pool !== undefined),
    queries: reports.flatMap(({ queries }) => queries).sort((one, other) => other.totalMs - one.totalMs),
    slow: reports.flatMap(({ slow }) => slow).sort((one, other) => Date.parse(other.at) - Date.parse(one.at)),
    nPlusOne: reports.flatMap(({ nPlusOne }) => nPlusOne),
    advice: reports.flatMap(({ advice }) => advice),
    outsideTransaction: reports.flatMap(({ outsideTransaction }) => outsideTransaction),
    autoBatch: {
      queries: sum(reports, ({ autoBatch }) => autoBatch.queries),
      statements: sum(reports, ({ autoBatch }) => autoBatch.statements),
      shapes: reports.flatMap(({ autoBatch }) => autoBatch.shapes).sort((one, other) => other.queries - one.queries),
    },
    ...(abandoned.length > 0 && {
      abandoned: {
        cancelled: sum(abandoned, ({ cancelled }) => cancelled),
        dequeued: sum(abandoned, ({ dequeued }) => dequeued),
        refused: sum(abandoned, ({ refused }) => refused),
      },
    }),
  }
}

function sum<Item>(items: readonly Item[], numberOf: (item: Item) => number): number {
  return items.reduce((total, item) => total + numberOf(item), 0)
}
