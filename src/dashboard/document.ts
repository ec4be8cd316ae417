/**
 * What the page reads of `GET /performance/stats`, in its wire form. A structural type of the page's own: the page knows a
 * document, not the monitor that made it. A type test holds the two together.
 */
export interface PageDocument {
  readonly scope: 'instance' | 'fleet'
  readonly service: string | null
  readonly release: string | null
  readonly instance: string
  readonly generated_at: string
  readonly uptime_ms: number
  readonly window_ms: number
  readonly requests: PageRequests
  readonly endpoints: readonly PageEndpoint[]
  readonly timings: Readonly<Record<string, { readonly count: number; readonly latency_ms: PageLatency }>>
  readonly cache: Readonly<Record<string, PageCache>>
  readonly database: PageDatabase | null
  readonly system: PageSystem
  readonly alerts: readonly PageAlert[]
  readonly slow: readonly PageSlowRequest[]
  readonly fleet: PageFleet | null
  readonly self: {
    readonly endpoints: number
    readonly overflow: number
    readonly clamped: number
    readonly memory_bytes: number
    readonly render_ms: number
  }
}

/** Milliseconds; `null` when nothing was measured in the window. */
export interface PageLatency {
  readonly avg: number | null
  readonly min: number | null
  readonly max: number | null
  readonly p50: number | null
  readonly p75: number | null
  readonly p90: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly p99_9: number | null
  readonly p95_ci: readonly [number, number] | null
  readonly p99_ci: readonly [number, number] | null
}

interface PageTraffic {
  readonly total: number
  readonly count: number
  readonly per_second: number
  readonly aborted: number
  readonly streams: number
  readonly upgrades: number
  readonly error_rate: number | null
  readonly apdex: number | null
  readonly status: Readonly<Record<string, number>>
  readonly latency_ms: PageLatency
  readonly corrected_ms: {
    readonly p50: number | null
    readonly p95: number | null
    readonly p99: number | null
    readonly affected: number
  } | null
}

interface PageRequests extends PageTraffic {
  readonly in_flight: number
}

export interface PageEndpoint extends PageTraffic {
  readonly method: string
  readonly route: string
  readonly loop_ms: number
}

interface PageCache {
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly hit_rate: number | null
  readonly error_rate: number | null
  readonly state: string
}

/** The elements are the database layer's own. */
interface PageDatabase {
  readonly queries: readonly unknown[]
  readonly slow: readonly unknown[]
  readonly n_plus_one: readonly unknown[]
}

interface PageSystem {
  readonly cpu_percent: number | null
  readonly memory_percent: number | null
  readonly disk_percent: number | null
  readonly cpu: {
    readonly cores: number | null
    readonly limit_cores: number
    readonly throttled_percent: number | null
    readonly load_average: readonly [number, number, number]
  }
  readonly memory: {
    readonly working_set_bytes: number
    readonly limit_bytes: number
    readonly limit_source: 'cgroup-v1' | 'cgroup-v2' | 'system'
    readonly rss_bytes: number
    readonly heap_used_bytes: number
    readonly heap_percent: number
  }
  readonly disk: readonly { readonly path: string; readonly percent: number; readonly free_bytes: number }[]
  readonly event_loop: {
    readonly utilization: number | null
    readonly delay_ms: { readonly p50: number; readonly p99: number; readonly max: number } | null
    readonly stalls: { readonly count: number; readonly total_ms: number; readonly longest_ms: number }
  }
  readonly gc: { readonly count: number; readonly total_ms: number; readonly max_ms: number }
  readonly processes: readonly {
    readonly pid: number
    readonly cpu_percent: number | null
    readonly memory_bytes: number
  }[]
}

export interface PageAlert {
  readonly id: string
  readonly state: 'pending' | 'firing' | 'resolved'
  readonly since: string
  readonly value: number
  readonly threshold: number
  readonly target: string | null
  readonly cause: {
    readonly stall: number
    readonly gc: number
    readonly throttled: number | null
    readonly top_blocker: string | null
  }
}

interface PageSlowRequest {
  readonly at: string
  readonly method: string
  readonly route: string
  readonly status: number
  readonly ms: number
  readonly stall_ms: number
  readonly trace_id: string | null
}

interface PageFleet {
  readonly instances: number
  readonly stale: number
  readonly rejected: number
  readonly members: readonly {
    readonly id: string
    readonly release: string | null
    readonly age_ms: number
    readonly stale: boolean
    readonly cpu_percent: number | null
    readonly memory_percent: number | null
    readonly in_flight: number | null
  }[]
}
