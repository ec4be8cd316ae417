export type {
  AdmissionSource,
  AdmissionStats,
  LimitedRequests,
  Priority,
  ShedCount,
  ShedReason,
} from './monitor/admission/admission.ts'
export type { AlertOptions, AlertRule } from './monitor/alerts/alert-rules.ts'
export type { CacheCounters, CacheLike } from './monitor/cache-watch.ts'
export {
  type MeterLike,
  type ObservableCallback,
  type ObservableLike,
  otelMetrics,
} from './monitor/exposition/otel-metrics.ts'
export type { Naming, PrometheusOptions } from './monitor/exposition/prometheus-options.ts'
export { clusterFleet } from './monitor/fleet/cluster-fleet.ts'
export { type FleetRedisClient, redisFleet } from './monitor/fleet/redis-fleet.ts'
export type { FleetMember, FleetOptions, FleetTransport } from './monitor/fleet/transport.ts'
export type { HealthKind, HealthWait } from './monitor/health/health.ts'
export type { CheckFunction, CheckOptions } from './monitor/health/health-check.ts'
export type { CheckResult, HealthReport } from './monitor/health/health-report.ts'
export { checkCache, checkDisk, checkKysely, type QueryRunner } from './monitor/health/ready-made-checks.ts'
export { PerformanceMonitor } from './monitor/monitor.ts'
export type { HealthOptions, MonitorOptions } from './monitor/options.ts'
export type { CompletedRequest, RecordedTiming } from './monitor/recorder-events.ts'
export type { GcPause, OverloadReason } from './monitor/system/sampler.ts'
export type { RequestWaits } from './monitor/traffic/breakdown.ts'
export type { OpenRequest } from './monitor/traffic/open-requests.ts'
export type {
  ActiveAlert,
  AlertCause,
  AlertEvent,
  AlertId,
  Breakdown,
  BreakdownPart,
  CacheRow,
  CheckEvent,
  CorrectedMs,
  DatabaseSection,
  DiskUsage,
  EndpointStats,
  FleetMemberStats,
  FleetStats,
  HistoryPoint,
  LatencyMs,
  LimitSource,
  MonitorEvents,
  OtherOutcome,
  Outcome,
  ProcessUsage,
  RequestStats,
  SlowRequest,
  StallEvent,
  StatsDocument,
  StatsQuery,
  SystemStats,
  TimingStats,
} from './monitor/types.ts'
export { ClosedError, PeerMissingError, PosthasteError } from './shared/errors.ts'
export type { Clock } from './shared/time/clock.ts'
export type { Duration } from './shared/time/duration.ts'
export type { OnWarn, Warning } from './shared/warnings.ts'
