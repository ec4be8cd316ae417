import type { FreshnessOptions } from '../../http/freshness/freshness.ts'
import type { HttpCacheOptions } from '../../http/response-cache/http-cache-options.ts'

/** The options of a route for {@link monitorRequests}, in its `config`. */
export interface RouteMonitorConfig {
  /** The label of the route. @defaultValue its pattern */
  readonly route?: string | undefined
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `false` keeps the route out of the statistics. */
    monitor?: false | RouteMonitorConfig
    /** `false` turns compression off for the route. */
    compress?: false
    /** Caches the answers of the route, by {@link cacheResponses}. */
    cache?: HttpCacheOptions<import('fastify').FastifyRequest>
    /** Gives the answers of the route entity tags, by the plugin {@link freshness}. */
    freshness?: FreshnessOptions<import('fastify').FastifyRequest>
  }
}
