import { expectOneOf, expectOptions, type OptionKinds } from '../../shared/arguments.ts'

/**
 * The name and labels of the request metric: `otel` for those of OpenTelemetry's HTTP conventions, `classic` for those of most
 * dashboards for Node.
 */
export type Naming = 'otel' | 'classic'

/** Options of `PerformanceMonitor.prometheus`. */
export interface PrometheusOptions {
  /** OpenMetrics 1.0 instead of text format 0.0.4. @defaultValue false */
  readonly openMetrics?: boolean | undefined
  /**
   * `otel`: `http_server_request_duration_seconds{http_request_method,http_route,http_response_status_code}`; `classic`:
   * `http_request_duration_seconds{method,route,status_code}`, for existing dashboards. @defaultValue `'otel'`
   */
  readonly naming?: Naming | undefined
  /**
   * `fleet`: the metrics of all processes in one. Counters are summed, gauges have the label `service_instance_id`. Do not scrape
   * the processes one by one too. @defaultValue `'instance'`
   */
  readonly scope?: 'instance' | 'fleet' | undefined
}

export interface ExposeOptions {
  readonly openMetrics: boolean
  readonly naming: Naming
  readonly scope: 'instance' | 'fleet'
}

/** @throws TypeError for a wrong option */
export function parsePrometheusOptions(options: PrometheusOptions): ExposeOptions {
  expectOptions(options, prometheusOptions)
  const { openMetrics = false, naming = 'otel', scope = 'instance' } = options
  return {
    openMetrics,
    naming: expectOneOf(naming, 'naming', ['otel', 'classic']),
    scope: expectOneOf(scope, 'scope', ['instance', 'fleet']),
  }
}

const prometheusOptions: OptionKinds<PrometheusOptions> = { openMetrics: 'boolean', naming: 'own', scope: 'own' }
