import type { PageDocument, PageEndpoint, PageLatency, PagePoint } from '../../src/dashboard/document.ts'

/** Latencies around a median, with a tail as long as `spread` says. */
function latency(p50: number, spread = 1): PageLatency {
  const at = (factor: number) => Math.round(1_000 * p50 * (1 + (factor - 1) * spread)) / 1_000
  return {
    avg: at(1.3),
    min: p50 / 4,
    max: at(60),
    std_dev: at(3),
    p50,
    p75: at(1.5),
    p90: at(2.6),
    p95: at(4.2),
    p99: at(14),
    p99_9: at(41),
    p95_ci: [at(3.8), at(4.9)],
    p99_ci: [at(10), at(29)],
  }
}

export const noLatency: PageLatency = {
  avg: null,
  min: null,
  max: null,
  std_dev: null,
  p50: null,
  p75: null,
  p90: null,
  p95: null,
  p99: null,
  p99_9: null,
  p95_ci: null,
  p99_ci: null,
}

export function endpoint(method: string, route: string, changes: Partial<PageEndpoint> = {}): PageEndpoint {
  const count = changes.count ?? 310
  const latency_ms = changes.latency_ms ?? latency(7)
  return {
    method,
    route,
    total: count * 40,
    count,
    per_second: count / 300,
    aborted: 0,
    unanswered: 0,
    streams: 0,
    upgrades: 0,
    shed: 0,
    error_rate: 0,
    apdex: 0.98,
    status: { 200: count },
    latency_ms,
    corrected_ms: { p50: latency_ms.p50, p95: latency_ms.p95, p99: latency_ms.p99, affected: 0 },
    loop_ms: 0,
    breakdown: null,
    last_seen: '2026-01-05T12:04:58.000Z',
    ...changes,
  }
}

/** Sixty slices of five seconds with a stall now and then. The last one has just begun. */
export function historyUntil(end: string): PagePoint[] {
  const last = Math.floor(Date.parse(end) / 5_000) * 5_000
  return Array.from({ length: 60 }, (_, slice) => {
    const noise = (Math.sin(slice * 12.9898) * 43_758.5453) % 1
    const wave = (middle: number, swing: number) =>
      middle * (1 + swing * (Math.sin(slice / 8) + Math.sin(slice / 2) / 3 + noise / 5))
    const isStalled = slice % 19 === 8
    return {
      at: new Date(last - (59 - slice) * 5_000).toISOString(),
      count: Math.round(wave(140, 0.3)),
      per_second: wave(28, 0.3),
      error_rate: wave(0.0049, 0.5),
      client_error_rate: wave(0.0095, 0.2),
      latency_ms: { p50: wave(7.2, 0.05), p95: wave(30.2, 0.1), p99: wave(101, 0.15) },
      corrected_p95_ms: isStalled ? 402.4 : wave(34, 0.1),
      in_flight: Math.max(0, Math.round(wave(4, 0.6))),
      cpu_percent: wave(31, 0.25),
      memory_percent: 39 + slice / 28,
      event_loop_utilization: wave(0.22, 0.3),
      event_loop_delay_ms: { p99: isStalled ? 85 : wave(1.9, 0.2), max: isStalled ? 604 : wave(12, 0.3) },
    }
  })
}

/** A document as a busy little service has it. */
export function document(changes: Partial<PageDocument> = {}): PageDocument {
  return {
    schema: 'posthaste.performance/1',
    scope: 'instance',
    service: 'crm',
    release: '1.4.2',
    instance: 'a1b2c3',
    generated_at: '2026-01-05T12:04:59.000Z',
    uptime_ms: 5_321_400,
    window_ms: 300_000,
    covered_ms: 299_000,
    requests: {
      total: 120_345,
      count: 8_412,
      per_second: 28.04,
      in_flight: 3,
      oldest_ms: 41,
      aborted: 12,
      unanswered: 0,
      streams: 2,
      upgrades: 1,
      shed: 0,
      error_rate: 0.0049,
      apdex: 0.97,
      status: { '2xx': 8_190, '3xx': 101, '4xx': 80, '5xx': 41 },
      latency_ms: latency(7.2),
      corrected_ms: { p50: 7.3, p95: 58.02, p99: 402.4, affected: 137 },
    },
    endpoints: [
      endpoint('GET', '/users', { count: 3_120, latency_ms: latency(5.1) }),
      endpoint('GET', '/users/:id', { count: 2_410, latency_ms: latency(2.2), aborted: 4 }),
      endpoint('POST', '/users', { count: 214, latency_ms: latency(18.4) }),
      endpoint('GET', '/companies/:company/contacts', { count: 1_033, latency_ms: latency(11.9), aborted: 1 }),
      endpoint('GET', '/companies/:company/contacts/:id', { count: 820, latency_ms: latency(6.3) }),
      endpoint('PATCH', '/companies/:company/contacts/:id', { count: 96, latency_ms: latency(21) }),
      endpoint('GET', '/search', {
        count: 402,
        latency_ms: latency(64),
        aborted: 7,
        error_rate: 0.015,
        status: { 200: 396, 500: 6 },
        loop_ms: 61,
      }),
      endpoint('POST', '/reports/export', {
        count: 31,
        latency_ms: latency(310, 0.2),
        error_rate: 0.193,
        status: { 200: 25, 503: 6 },
        loop_ms: 4_820,
      }),
      endpoint('GET', '/events', { count: 0, per_second: 0, streams: 2, error_rate: null, latency_ms: noLatency }),
      endpoint('GET', '(unmatched)', { count: 286, latency_ms: latency(0.4) }),
    ],
    timings: { 'mail.send': { count: 44, latency_ms: latency(120, 0.4) } },
    cache: {
      users: { hits: 5_120, misses: 390, errors: 3, hit_rate: 0.929, error_rate: 0.0005, state: 'up' },
      reports: { hits: 12, misses: 19, errors: 0, hit_rate: 0.387, error_rate: 0, state: 'degraded' },
    },
    database: {
      queries: [
        {
          shape: 'select * from "contacts" where "company_id" = $1 order by "name" limit $2',
          count: 1_033,
          errors: 0,
          total_ms: 9_120,
          p95_ms: 31,
          max_ms: 412,
        },
      ],
      slow: [],
      n_plus_one: [
        {
          kind: 'n+1',
          shape: 'select * from "owners" where "id" = $1',
          count: 20,
          total_ms: 41,
          scope: 'GET /companies/:company/contacts',
        },
      ],
    },
    additions: {},
    system: {
      cpu_percent: 31,
      memory_percent: 41.2,
      disk_percent: 61,
      cpu: { cores: 0.62, limit_cores: 2, throttled_percent: 0.4, load_average: [0.5, 0.42, 0.31] },
      memory: {
        working_set_bytes: 221_249_536,
        limit_bytes: 536_870_912,
        limit_source: 'cgroup-v2',
        rss_bytes: 201_326_592,
        heap_used_bytes: 88_080_384,
        heap_percent: 31.4,
      },
      disk: [{ path: '/', percent: 61, free_bytes: 41_875_931_136, total_bytes: 107_374_182_400 }],
      event_loop: {
        utilization: 0.224,
        delay_ms: { p50: 0.12, p99: 1.9, max: 12 },
        stalls: { count: 7, total_ms: 2_412, longest_ms: 604 },
      },
      gc: { count: 122, total_ms: 181, max_ms: 9.2 },
      processes: [{ pid: 4_112, cpu_percent: 3, memory_bytes: 48_234_496 }],
    },
    alerts: [
      {
        id: 'event_loop',
        state: 'firing',
        since: '2026-01-05T12:01:12.000Z',
        value: 604,
        threshold: 200,
        target: null,
        samples: 120,
        cause: {
          stall: 0.08,
          gc: 0.0006,
          throttled: 0.004,
          top_blocker: 'POST /reports/export',
          top_blocker_share: 0.06,
          query: null,
          part: null,
          part_share: null,
        },
      },
      {
        id: 'response_time',
        state: 'pending',
        since: '2026-01-05T12:04:40.000Z',
        value: 574,
        threshold: 500,
        target: 'GET /search',
        samples: 120,
        cause: {
          stall: 0.08,
          gc: 0.0006,
          throttled: null,
          top_blocker: null,
          top_blocker_share: null,
          query: null,
          part: null,
          part_share: null,
        },
      },
      {
        id: 'cache_errors',
        state: 'resolved',
        since: '2026-01-05T12:00:11.000Z',
        value: 0.1,
        threshold: 5,
        target: 'users',
        samples: 120,
        cause: {
          stall: 0,
          gc: 0,
          throttled: null,
          top_blocker: null,
          top_blocker_share: null,
          query: null,
          part: null,
          part_share: null,
        },
      },
    ],
    admission: null,
    slow: [
      {
        at: '2026-01-05T12:04:31.000Z',
        method: 'GET',
        route: '/search',
        status: 200,
        outcome: 'completed',
        ms: 1_903.1,
        stall_ms: 400.2,
        trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
      },
      {
        at: '2026-01-05T12:03:02.000Z',
        method: 'POST',
        route: '/reports/export',
        status: 500,
        outcome: 'completed',
        ms: 1_214,
        stall_ms: 0,
        trace_id: null,
      },
    ],
    fleet: null,
    history: historyUntil(changes.generated_at ?? '2026-01-05T12:04:59.000Z'),
    self: { endpoints: 10, overflow: 0, clamped: 0, memory_bytes: 1_840_000, render_ms: 1.9 },
    ...changes,
  }
}
