import { expectObject, type OptionKinds } from '../../shared/arguments.ts'
import { type CompressOptions, compressOptions } from './compress-options.ts'
import { createResponseCompressor, type ResponseCompressor } from './compressor.ts'

/** Where compression reports what it saved; a `PerformanceMonitor` is one. */
export interface SavingsReport {
  addSource(name: string, read: () => unknown): unknown
}

/** Options of `compressResponses`. `Request` and `Response` are the framework's own. */
export interface CompressResponsesOptions<Request = unknown, Response = unknown> extends CompressOptions {
  /** Asked when an answer is about to be sent; `false` leaves it as it is. */
  readonly filter?: ((request: Request, response: Response) => boolean) | undefined
  /** Shows the bytes saved by each route in its stats document, under `additions.compression`. */
  readonly monitor?: SavingsReport | undefined
}

const compressResponsesOptions: OptionKinds<CompressResponsesOptions> = {
  ...compressOptions,
  filter: 'function',
  monitor: 'own',
}

/** What `compressResponses` needs in any framework. */
interface ResponseCompression<Request, Response> {
  readonly compressor: ResponseCompressor
  readonly isWanted: (request: Request, response: Response) => boolean
  readonly save: RecordSaving | undefined
}

/** @throws TypeError or RangeError for a wrong option */
export function createResponseCompression<Request, Response>(
  options: CompressResponsesOptions<Request, Response>,
): ResponseCompression<Request, Response> {
  const compressor = createResponseCompressor(options, compressResponsesOptions)
  const { filter = () => true, monitor } = options
  return { compressor, isWanted: filter, save: monitor && savingsRecorder(monitor) }
}

/** What compression saved on a route since the start. */
interface RouteSavings {
  readonly method: string
  readonly route: string
  /** How many answers were encoded. */
  responses: number
  rawBytes: number
  sentBytes: number
}

/** Counts an answer that was encoded. */
type RecordSaving = (method: string, route: string, rawBytes: number, sentBytes: number) => void

/** Reports the savings as the source `compression`. Every compressor with the same report gets the same recorder. */
function savingsRecorder(report: SavingsReport): RecordSaving {
  expectObject(report, 'monitor', ['addSource'], 'a PerformanceMonitor')
  const known = recorderByReport.get(report)
  if (known !== undefined) return known
  const recorder = createRecorder(report)
  recorderByReport.set(report, recorder)
  return recorder
}

const recorderByReport = new WeakMap<SavingsReport, RecordSaving>()

const maxRoutesShown = 100

function createRecorder(report: SavingsReport): RecordSaving {
  const routes = new Map<string, RouteSavings>()
  report.addSource('compression', () => ({
    routes: [...routes.values()].toSorted(byBytesSaved).slice(0, maxRoutesShown),
  }))
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

function byBytesSaved(a: RouteSavings, b: RouteSavings): number {
  return b.rawBytes - b.sentBytes - (a.rawBytes - a.sentBytes)
}
