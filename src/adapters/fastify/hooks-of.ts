/** The hooks of an instance that were added so far; `undefined` where Fastify keeps them elsewhere, as it has no way to ask. */
export function hooksOf(app: object, name: 'onRequest' | 'onSend'): unknown[] | undefined {
  const key = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks')
  const hooks = key && (app as Record<symbol, Readonly<Record<string, unknown>> | undefined>)[key]?.[name]
  return Array.isArray(hooks) ? hooks : undefined
}

/** A route as `onRoute` hooks see it. */
interface RouteHooks<Hook> {
  onSend?: Hook | Hook[] | undefined
}

/** Adds a hook on the payload behind those of the route, but before the one of Fastify that drops the payload for HEAD. */
export function addOnSend<Hook>(route: RouteHooks<Hook>, hook: Hook): void {
  const hooks = [route.onSend ?? []].flat() as Hook[]
  const head = hooks.findIndex(isHeadHook)
  route.onSend = hooks.toSpliced(head === -1 ? hooks.length : head, 0, hook)
}

/** Whether it is the hook that Fastify adds to its routes for HEAD, which drops the payload. */
export function isHeadHook(hook: unknown): boolean {
  return typeof hook === 'function' && hook.name === 'headRouteOnSendHandler'
}
