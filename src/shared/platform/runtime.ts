const globals = globalThis as {
  readonly navigator?: { readonly userAgent?: string }
  readonly Deno?: { readonly permissions: { querySync(query: object): { readonly state: string } } }
}

/**
 * Whether this is Cloudflare Workers. There, a promise, timer or signal belongs to the request that made it: another request
 * that waits for it fails or hangs. And nothing may start a timer, or ask for random bytes, outside of a request.
 */
export const isWorkers: boolean = /* @__PURE__ */ (() => globals.navigator?.userAgent === 'Cloudflare-Workers')()

/** Whether this is Bun. */
export const isBun: boolean = /* @__PURE__ */ (() => 'Bun' in globals)()

/** Whether this is Node itself, whose counters of the event loop and the garbage collector Bun and Deno have by name only. */
export const isNode: boolean = /* @__PURE__ */ (() => !isWorkers && globals.Deno === undefined && !isBun)()

/** Whether `NODE_ENV` says that this is production. Not where the program may not read it: Deno would ask for the permission. */
export function isProduction(): boolean {
  const { Deno } = globals
  const isReadable = Deno?.permissions.querySync({ name: 'env', variable: 'NODE_ENV' }).state ?? 'granted'
  return isReadable === 'granted' && meansProduction(process.env.NODE_ENV)
}

export function meansProduction(nodeEnv: string | undefined): boolean {
  return nodeEnv !== undefined && /^\s*prod(?:uction)?\s*$/i.test(nodeEnv)
}

/** What the function returns; `null` where the platform does not have it, or does not allow it. */
export function readOrNull<Value>(read: () => Value): Value | null {
  try {
    return read()
  } catch {
    return null
  }
}
