import type { FastifyPluginCallback, FastifyRequest } from 'fastify'
import { createFreshness, type FreshnessOptions, type StampStore } from '../../http/freshness/freshness.ts'
import { createFreshnessHooks, type HookRequest, type RouteFreshness } from '../../http/freshness/reply-freshness.ts'
import { withDefaults } from '../../http/response-cache/http-cache-options.ts'
import { addOnSend, takeHeadHooks } from './hooks-of.ts'
import { plugin } from './plugin.ts'

/** Options of {@link freshness} as a plugin: the cache, and defaults for the options of routes. */
export interface FreshnessPluginOptions extends FreshnessOptions<FastifyRequest> {
  readonly cache: StampStore
}

/** The type of {@link freshness}: a plugin, and a function that makes the hooks of a route. */
export interface FreshnessFunction extends FastifyPluginCallback<FreshnessPluginOptions> {
  <Tag extends string, Request = FastifyRequest>(
    cache: StampStore<Tag>,
    options?: FreshnessOptions<Request, NoInfer<Tag>>,
  ): RouteFreshness
}

const freshnessPlugin: FastifyPluginCallback<FreshnessPluginOptions> = plugin(
  'freshness',
  (app, { cache, ...defaults }, done) => {
    takeHeadHooks(app, 'freshness')
    app.addHook('onRoute', (route) => {
      const own = route.config?.freshness
      if (own === undefined) return
      const { preHandler, onSend } = routeFreshness(cache, withDefaults(own, defaults))
      route.preHandler = [...[route.preHandler ?? []].flat(), preHandler]
      addOnSend(route, onSend)
    })
    done()
  },
)

function routeFreshness(cache: StampStore, options: FreshnessOptions<FastifyRequest> = {}): RouteFreshness {
  return createFreshnessHooks(createFreshness(cache, options as FreshnessOptions<HookRequest>))
}

/**
 * Answers 304 without running the handler when nothing that it reads has changed since the client's last answer. The entity
 * tag stands for the state of the cache's tags, so private answers can have one, and no body is stored. Called with a cache,
 * it returns the hooks of a route. Registered as a plugin, with `await` before the routes, it checks those with `freshness`
 * in their `config`.
 *
 * @throws TypeError for a wrong option
 *
 * @example
 * ```ts
 * app.get('/orders', { ...freshness(cache, { key: (request) => [userOf(request)] }) }, listOrders)
 * ```
 */
export const freshness: FreshnessFunction = Object.assign(
  (...given: Parameters<typeof freshnessPlugin> | Parameters<typeof routeFreshness>) => {
    const [first] = given
    if (typeof first === 'object' && first !== null && 'addHook' in first)
      return freshnessPlugin(...(given as Parameters<typeof freshnessPlugin>))
    return routeFreshness(...(given as Parameters<typeof routeFreshness>))
  },
  freshnessPlugin,
) as FreshnessFunction
