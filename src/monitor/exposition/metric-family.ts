import type { Exemplar } from '../traffic/prometheus-histogram.ts'

/** One line: `name + suffix {labels} value`. */
export interface Sample {
  readonly suffix?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
  /** Written in OpenMetrics only. */
  readonly exemplar?: Exemplar | undefined
}

/** A metric with all its lines. */
export interface MetricFamily {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary' | 'info'
  readonly help: string
  /** When its counters were 0, in seconds since 1970. Written in OpenMetrics only. */
  readonly created?: number | undefined
  readonly samples: Iterable<Sample>
}

export function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples }
}

/** A gauge of one line, or of none. */
export function single(name: string, help: string, value: number | null): MetricFamily {
  return gauge(name, help, value === null ? [] : [{ value }])
}
