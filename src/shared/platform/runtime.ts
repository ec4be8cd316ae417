const globals = globalThis as {
  readonly navigator?: { readonly userAgent?: string }
  readonly Deno?: { readonly permissions: { querySync(query: object): { readonly state: string } } }
}

/**
 * Whether this is Cloudflare Workers. There, a promise, timer or signal belongs to the request that made it: another
 * request that waits for it fails or hangs. Outside of a request, no code may start a timer or ask for random bytes.
 */
export const isWorkers: boolean = /* @__PURE__ */ (() => globals.navigator?.userAgent === 'Cloudflare-Workers')()

/** Whether this is Bun. */
export const isBun: boolean = /* @__PURE__ */ (() => 'Bun' in globals)()

/** Whether this is Node itself. Bun and Deno only imitate Node's counters of the event loop and the garbage collector. */
export const isNode: boolean = /* @__PURE__ */ (() => !isWorkers && globals.Deno === undefined && !isBun)()

/**
 * Whether `NODE_ENV` says that this is production. `false` if the program may not read it: Deno would ask for the
 * permission.
 */
export function isProduction(): boolean {
  const { Deno } = globals
  const isReadable = Deno?.permissions.querySync({ name: 'env', variable: 'NODE_ENV' }).state ?? 'granted'
  return isReadable === 'granted' && meansProduction(process.env.NODE_ENV)
}

export function meansProduction(nodeEnv: string | undefined): boolean {
  return nodeEnv !== undefined && /^\s*prod(?:uction)?\s*$/i.test(nodeEnv)
}

/** The function's result; `null` if it throws, because the platform lacks or forbids something. */
export function readOrNull<Value>(read: () => Value): Value | null {
  try {
    return read()
  } catch {
    return null
  }
}
