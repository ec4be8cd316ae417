import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { compressionHooks } from '../../http/compression/reply-compression.ts'
import {
  type HttpCacheOptions,
  type ResponseStore,
  withDefaults,
} from '../../http/response-cache/http-cache-options.ts'
import { createCacheHooks, firstOnSend } from '../../http/response-cache/reply-cache.ts'
import { createResponseCache } from '../../http/response-cache/response-cache.ts'
import { createWarner } from '../../shared/warnings.ts'
import { addOnSend, hooksOf, isHeadHook, takeHeadHooks } from './hooks-of.ts'
import { plugin } from './plugin.ts'

/** Options of the plugin {@link cacheResponses}: the cache, and defaults for the options of routes. */
export interface CacheResponsesOptions extends HttpCacheOptions<FastifyRequest> {
  readonly cache: ResponseStore
}

/**
 * Answers routes with `cache` in their `config` from the cache, and stores their answers, where that is safe. Register it with
 * `await` before those routes: it adds its hooks to them, after their own `preHandler` hooks.
 *
 * @example
 * ```ts
 * await app.register(cacheResponses, { cache })
 * app.get('/users', { config: { cache: { profile: 'users', tags: ['users'], query: ['page'] } } }, listUsers)
 * ```
 */
export const cacheResponses: FastifyPluginCallback<CacheResponsesOptions> = plugin(
  'cacheResponses',
  (app, { cache, ...defaults }, done) => {
    createResponseCache(cache, defaults)
    const warn = createWarner()
    const preparedConfigs = new WeakSet<object>()
    const hooks = hooksOf(app, 'onSend')
    if (hooks === undefined) app.addHook('onSend', firstOnSend)
    // Fastify runs hooks in this order, and others may have been added before: go first.
    else if (!hooks.includes(firstOnSend)) hooks.unshift(firstOnSend)
    takeHeadHooks(app, 'cache')
    app.addHook('onRoute', function (route) {
      const own = route.config?.cache
      if (own === undefined) return
      preparedConfigs.add(own)
      const { constraints = {} } = route
      const options = withDefaults(own, defaults)
      // The client chooses the version of a route by this header.
      const vary = 'version' in constraints ? [...(options.vary ?? []), 'accept-version'] : options.vary
      const responses = createResponseCache(cache, { ...options, vary })
      const name = `${route.url} ${JSON.stringify(constraints, (_key, value) => (value instanceof RegExp ? String(value) : value))}`
      const routeHooks = [route.onSend ?? []].flat()
      // Not asked before the first request, when all hooks have been added.
      const hasOtherHooks = once(() => {
        const all = [...(hooksOf(this, 'onSend') ?? [undefined]), ...routeHooks]
        return all.some((hook) => hook !== firstOnSend && !isHeadHook(hook) && !compressionHooks.has(hook as object))
      })
      const { preHandler, onSend } = createCacheHooks<FastifyRequest, FastifyReply>(responses, name, hasOtherHooks)
      route.preHandler = [...[route.preHandler ?? []].flat(), preHandler]
      addOnSend(route, onSend)
    })
    app.addHook('onRequest', async (request) => {
      const own = request.routeOptions.config.cache
      if (own === undefined || preparedConfigs.has(own)) return
      const message = `The route ${request.routeOptions.url} is not cached: it was added before \`cacheResponses\` had loaded, which \`await app.register()\` waits for`
      warn({ code: 'CACHE_ROUTE_TOO_EARLY', message })
    })
    done()
  },
)

function once(read: () => boolean): () => boolean {
  let result: boolean | undefined
  return () => {
    result ??= read()
    return result
  }
}
