import { expectObject } from '../shared/arguments.ts'

/** @throws TypeError when it is no monitor, such as the request that a framework passes to `monitorRequests` itself */
export function expectMonitor(monitor: unknown): void {
  if (typeof (monitor as { addHook?: unknown } | null | undefined)?.addHook === 'function') {
    throw new TypeError(
      'Expected `monitor` to be a PerformanceMonitor, got a Fastify instance: import from posthaste/fastify',
    )
  }
  expectObject(monitor, 'monitor', ['start', 'record', 'ignores', 'snapshot', 'health'], 'a PerformanceMonitor')
}

/**
 * The error of a middleware, plugin or error handler that was called in the way of another framework. Adapters test for that
 * with one comparison; otherwise they would fail at the first property that they read.
 */
export function wrongFramework(name: string, face: 'express' | 'fastify' | 'hono'): TypeError {
  return new TypeError(
    `\`${name}\` of posthaste/${face} was called in a wrong way: write ${usages[face]}, or import it from the adapter of your framework`,
  )
}

/** @throws TypeError when a middleware is not called by Express: by another framework, or by Connect, h3 or `node:http` */
export function expectExpress(name: string, request: { readonly path?: unknown }, next: unknown): void {
  if (typeof next !== 'function') throw wrongFramework(name, 'express')
  if (request.path !== undefined) return
  throw new TypeError(
    `\`${name}\` of posthaste/express needs a request of Express: use it in an Express application, and your server's handler after it, by \`app.use(handler)\``,
  )
}

const usages = {
  express: 'app.use(name(…))',
  fastify: 'app.register(name, { … })',
  hono: 'app.use(name(…))',
}

/** Warns when a monitor measures requests at a second place, where those that pass both are counted twice. */
export function warnIfMountedTwice(monitor: { warn(warning: { code: string; message: string }): void }): void {
  if (mountedMonitors.has(monitor)) {
    monitor.warn({
      code: 'MONITOR_MOUNTED_TWICE',
      message: '`monitorRequests` was called twice with one monitor: requests that pass both are counted twice',
    })
  }
  mountedMonitors.add(monitor)
}

const mountedMonitors = new WeakSet<object>()
