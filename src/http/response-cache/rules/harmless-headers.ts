import { createWarner, type OnWarn } from '../../../shared/warnings.ts'

/**
 * Request headers that cannot change whose answer it is: they are standard, describe the connection, the representation or the
 * trace, and identify nobody. A handler that answers by `Accept` or `User-Agent` must send `Vary`, as for any cache.
 */
const harmlessHeaders: ReadonlySet<string> = new Set([
  // transport
  ...['host', 'connection', 'keep-alive', 'te', 'via', 'x-request-id', 'x-correlation-id', 'cdn-loop'],
  // representation; a `Content-Length` other than 0 bypasses the cache for itself
  ...['accept', 'accept-encoding', 'accept-language', 'accept-charset', 'user-agent', 'priority', 'save-data', 'dnt'],
  ...['sec-gpc', 'upgrade-insecure-requests', 'sec-purpose', 'purpose', 'referer', 'content-length'],
  // conditions, which the cache handles
  ...['if-none-match', 'if-modified-since', 'cache-control', 'pragma'],
  // trace
  ...['traceparent', 'tracestate', 'b3', 'x-amzn-trace-id', 'x-cloud-trace-context', 'newrelic', 'sentry-trace'],
  'uber-trace-id',
  // addresses: a handler that answers by address must use `key`
  ...['x-forwarded-for', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip'],
  // in the key
  ...['origin', 'forwarded', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-prefix'],
])

/** No client can send a header whose name begins with a colon: it is the request line of HTTP/2. */
const harmlessPrefixes = ['sec-fetch-', 'sec-ch-', 'x-b3-', 'x-datadog-', ':']

/** What a response cache does about request headers that may tell clients apart. */
export interface HeaderRules {
  /** Returns the first header that is not known to be harmless. */
  readonly findUnknownHeader: (names: readonly string[]) => string | undefined
  readonly onUnknownHeader: (name: string) => void
}

/** Adds the rules to the options of a cache of responses. */
export function withHeaderRules<
  Options extends { readonly harmlessHeaders: readonly string[]; readonly onWarn: OnWarn | undefined },
>(options: Options, cache: object): Options & HeaderRules {
  return {
    ...options,
    findUnknownHeader: createHeaderCheck(options.harmlessHeaders),
    onUnknownHeader: headerWarningOf(cache, options.onWarn),
  }
}

/** @param allowed - further names in lower case; a trailing `*` allows all that begin so */
function createHeaderCheck(allowed: readonly string[]): HeaderRules['findUnknownHeader'] {
  const names = new Set([...harmlessHeaders, ...allowed])
  const own = allowed.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1))
  const prefixes = [...harmlessPrefixes, ...own]
  const isUnknown = (name: string) => !names.has(name) && !prefixes.some((prefix) => name.startsWith(prefix))
  return (given) => {
    for (const name of given) if (isUnknown(name)) return name
    return undefined
  }
}

/** One warning for all routes of a cache, through the `onWarn` of the first that has one. */
function headerWarningOf(cache: object, onWarn: OnWarn | undefined): (name: string) => void {
  const key = onWarn ?? cache
  const known = headerWarnings.get(key)
  if (known !== undefined) return known
  const warning = createHeaderWarning(onWarn)
  headerWarnings.set(key, warning)
  return warning
}

const headerWarnings = /* @__PURE__ */ new WeakMap<object, (name: string) => void>()

const warnAfterMs = 60_000
const maxNames = 20
const maxNameLength = 64

/**
 * Warns once which headers made requests bypass the cache, a minute after the first one. Clients choose the names, so few are
 * remembered, and not for long.
 */
function createHeaderWarning(onWarn: OnWarn | undefined): (name: string) => void {
  const warn = createWarner(onWarn)
  let names: Set<string> | undefined = new Set()
  return (name) => {
    if (names === undefined || names.size === maxNames) return
    if (names.size === 0) setTimeout(report, warnAfterMs).unref()
    names.add(name.slice(0, maxNameLength))
  }
  function report(): void {
    const list = [...(names ?? [])].map((name) => `\`${name}\``).join(', ')
    names = undefined
    const message = `Requests bypassed the response cache because of headers that might tell clients apart: ${list}. Name those in \`ignoreHeaders\` that no handler reads, and in \`vary\` those that the response depends on`
    warn({ code: 'CACHE_HEADER_UNKNOWN', message })
  }
}
