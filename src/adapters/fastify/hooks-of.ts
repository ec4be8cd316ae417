/** The hooks of an instance that were added so far; `undefined` where Fastify keeps them elsewhere, as it has no way to ask. */
export function hooksOf(app: object, name: 'onRequest' | 'onSend'): unknown[] | undefined {
  const key = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.hooks')
  const hooks = key && (app as Record<symbol, Readonly<Record<string, unknown>> | undefined>)[key]?.[name]
  return Array.isArray(hooks) ? hooks : undefined
}
