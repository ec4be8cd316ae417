import type { FastifyInstance, RouteOptions } from 'fastify'

/**
 * The hooks that were added to an instance so far. Fastify has no way to ask for them, so they are read from its internals;
 * `undefined` where a version keeps them elsewhere.
 */
export function hooksOf(app: object, name: 'onRequest' | 'onRoute' | 'onSend'): unknown[] | undefined {
  const key = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks')
  const hooks = key && (app as Record<symbol, Readonly<Record<string, unknown>> | undefined>)[key]?.[name]
  return Array.isArray(hooks) ? hooks : undefined
}

/** A route as `onRoute` hooks see it. */
interface RouteHooks<Hook> {
  onSend?: Hook | Hook[] | undefined
}

/** The hooks for HEAD that {@link takeHeadHooks} has taken out of routes, until {@link addOnSend} puts them back. */
const headHooks = new WeakMap<object, unknown>()

/**
 * Takes the hook for HEAD out of the routes that have an option of this name in their `config`. This must come before other
 * plugins see the routes: tracers wrap each hook of a route, so the hook could no longer be recognized.
 */
export function takeHeadHooks(app: FastifyInstance, option: 'cache' | 'freshness'): void {
  const take = (route: RouteOptions) => {
    if (route.config?.[option] === undefined) return
    const hooks = [route.onSend ?? []].flat()
    const head = hooks.find(isHeadHook)
    if (head === undefined) return
    headHooks.set(route, head)
    route.onSend = hooks.filter((hook) => hook !== head)
  }
  const hooks = hooksOf(app, 'onRoute')
  if (hooks === undefined) app.addHook('onRoute', take)
  else hooks.unshift(take)
}

/** Adds a hook on the payload after those of the route, but before Fastify's own for HEAD, which drops the payload. */
export function addOnSend<Hook>(route: RouteHooks<Hook>, hook: Hook): void {
  const taken = headHooks.get(route) ?? []
  headHooks.delete(route)
  const hooks = [route.onSend ?? [], taken].flat() as Hook[]
  const head = hooks.findIndex(isHeadHook)
  route.onSend = hooks.toSpliced(head === -1 ? hooks.length : head, 0, hook)
}

/** Whether this is the hook that Fastify adds to its routes for HEAD, which drops the payload. */
export function isHeadHook(hook: unknown): boolean {
  return typeof hook === 'function' && hook.name === 'headRouteOnSendHandler'
}
