import { yieldIfDue } from '../../shared/time/slices.ts'
import type { Exemplar } from '../traffic/prometheus-histogram.ts'
import type { MetricFamily, Sample } from './metric-family.ts'
import type { ExposeOptions, Naming } from './prometheus-options.ts'

/** A piece is yielded when it is at least this long. */
const pieceLength = 16_384

/**
 * Writes metrics as Prometheus text format 0.0.4 or as OpenMetrics 1.0, in pieces. Lets the event loop turn every few
 * milliseconds.
 */
export async function* toPrometheusText(
  families: Iterable<MetricFamily>,
  { openMetrics, naming }: Pick<ExposeOptions, 'openMetrics' | 'naming'>,
): AsyncGenerator<string> {
  let piece = ''
  for (const family of withNaming(families, naming)) {
    let header = headerOf(family, openMetrics)
    for (const sample of family.samples) {
      piece += `${header}${family.name}${lineOf(sample, openMetrics)}\n`
      header = ''
      if (openMetrics) piece += createdLine(family, sample)
      if (piece.length >= pieceLength) {
        yield piece
        piece = ''
      }
      await yieldIfDue()
    }
  }
  yield openMetrics ? `${piece}# EOF\n` : piece
}

const classicNames: Readonly<Record<string, string>> = {
  http_server_request_duration_seconds: 'http_request_duration_seconds',
  http_server_active_requests: 'http_requests_in_flight',
  http_request_method: 'method',
  http_route: 'route',
  http_response_status_code: 'status_code',
}

/** Renames the metrics of requests, and their labels. */
function* withNaming(families: Iterable<MetricFamily>, naming: Naming): Generator<MetricFamily> {
  if (naming === 'otel') {
    yield* families
    return
  }
  const rename = (name: string) => classicNames[name] ?? name
  for (const family of families)
    yield { ...family, name: rename(family.name), samples: renamed(family.samples, rename) }
}

function* renamed(samples: Iterable<Sample>, rename: (name: string) => string): Generator<Sample> {
  for (const { labels = {}, ...sample } of samples) {
    yield { ...sample, labels: Object.fromEntries(Object.entries(labels).map(([name, text]) => [rename(name), text])) }
  }
}

/** In OpenMetrics the name of a counter or info is without `_total` or `_info`, which its lines have. Text 0.0.4 has no info. */
function headerOf({ name, type, help }: MetricFamily, openMetrics: boolean): string {
  const family = openMetrics ? name.replace(suffixes[type] ?? '', '') : name
  const familyType = openMetrics || type !== 'info' ? type : 'gauge'
  return `# HELP ${family} ${escaped(help, openMetrics)}\n# TYPE ${family} ${familyType}\n`
}

const suffixes: Partial<Record<MetricFamily['type'], RegExp>> = { counter: /_total$/, info: /_info$/ }

function lineOf({ suffix = '', labels = {}, value, exemplar }: Sample, openMetrics: boolean): string {
  const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escaped(text, true)}"`)
  return `${suffix}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}${openMetrics && exemplar !== undefined ? exemplarOf(exemplar) : ''}`
}

/** The line that says since when a series counts. It follows the last line of the series. */
function createdLine({ name, type, created }: MetricFamily, { suffix = '', labels = {} }: Sample): string {
  const isLast = type === 'counter' || suffix === '_count'
  if (created === undefined || !isLast) return ''
  return `${name.replace(/_total$/, '')}${lineOf({ suffix: '_created', labels, value: created }, true)}\n`
}

function exemplarOf({ traceId, us, at }: Exemplar): string {
  return ` # {trace_id="${traceId}"} ${us / 1_000_000} ${at / 1_000}`
}

/** Quotes are escaped in labels, and in the help of OpenMetrics. */
function escaped(text: string, escapesQuotes: boolean): string {
  const oneLine = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  return escapesQuotes ? oneLine.replaceAll('"', '\\"') : oneLine
}
