import type { Naming } from '../../monitor/exposition/prometheus-options.ts'
import type { HealthReport } from '../../monitor/health/health-report.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import type { StatsQuery } from '../../monitor/types.ts'
import { describeValue, expectOneOf, expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import type { Casing } from '../../shared/casing.ts'
import { withDeadline } from '../../shared/time/waiting.ts'
import { answer, type HttpAnswer, type HttpRequest, json, problem } from '../answer.ts'
import { expectMonitor } from '../expect-call.ts'
import { rememberGate } from '../server-timing.ts'
import { type Authorize, createGate } from './authorize.ts'
import { createLivePage, type LoadPage } from './live-page.ts'
import { prefersOpenMetrics } from './negotiate-metrics.ts'
import { serializeStats, withCasing } from './serialize-stats.ts'

/** Options of `performanceRoutes`, the same for every framework. */
export interface PerformanceRoutesOptions<Request = unknown> {
  /** The path of the live page; `/stats` and `/metrics` are below it. @defaultValue `'/performance'` */
  readonly path?: string | undefined
  /** The path of the health report; `/live`, `/ready` and `/startup` are below it. `false`: none. @defaultValue `'/health'` */
  readonly health?: string | false | undefined
  /** Whether `<path>/metrics` exists, for Prometheus. @defaultValue true */
  readonly metrics?: boolean | undefined
  /** Whether the live page exists at `<path>`, with its stream of events at `<path>/stream`. @defaultValue true */
  readonly dashboard?: boolean | undefined
  /** Who may see statistics, metrics and the page, and the details of the health checks. @defaultValue the token in `PERFORMANCE_STATS_TOKEN`; without it, nobody in production and everybody elsewhere */
  readonly authorize?: Authorize<Request> | undefined
  /** The casing of the keys in JSON documents. @defaultValue `'snake'` */
  readonly casing?: Casing | undefined
  /**
   * The names of the request metrics: those of OpenTelemetry's conventions, or `http_request_duration_seconds{method,route,
   * status_code}` for existing dashboards. @defaultValue `'otel'`
   */
  readonly naming?: Naming | undefined
}

const performanceRoutesOptions: OptionKinds<PerformanceRoutesOptions> = {
  path: 'own',
  health: 'own',
  metrics: 'boolean',
  dashboard: 'boolean',
  authorize: 'own',
  casing: 'own',
  naming: 'own',
}

/** The part of a monitor that the routes read. */
type PerformanceSource = Pick<
  PerformanceMonitor,
  'healthDetails' | 'snapshotInTurns' | 'fleetSnapshot' | 'prometheus' | 'toHdr' | 'health' | 'warn'
>

type Handler = (request: HttpRequest) => Promise<HttpAnswer>

/**
 * How long a health answer waits for checks and for `authorize`. Probes give up soon, and a probe that gives up counts as a
 * failure of the process. A check that takes longer goes on, and the next probe gets its result.
 */
const probeWaitMs = 20

/** Handlers by path. All answer GET and HEAD. */
export type PerformanceRoutes = ReadonlyMap<string, Handler>

/**
 * Makes the routes of a monitor, for any framework.
 *
 * @throws TypeError for a path that does not start with a slash, or a wrong `authorize` or `casing`
 */
export function createPerformanceRoutes(
  monitor: PerformanceSource,
  options: PerformanceRoutesOptions<never> | undefined = {},
  loadPage: LoadPage,
  env: Readonly<Record<string, string | undefined>> = process.env,
): PerformanceRoutes {
  expectMonitor(monitor)
  expectOptions(options, performanceRoutesOptions)
  const { path = '/performance', health = '/health', metrics = true, dashboard = true } = options
  const { authorize, casing = 'snake', naming = 'otel' } = options
  expectOneOf(casing, 'casing', ['snake', 'camel'])
  expectOneOf(naming, 'naming', ['otel', 'classic'])
  const gate = createGate(authorize, env, (warning) => monitor.warn(warning))
  rememberGate(monitor, gate)
  const guarded =
    (handle: Handler): Handler =>
    async (request) =>
      (await gate(request)) ?? handle(request)

  const routes = new Map<string, Handler>()
  const base = expectPath(path, 'path')
  routes.set(
    `${base}/stats`,
    guarded((request) => stats(monitor, request, casing, naming)),
  )
  if (metrics) {
    routes.set(
      `${base}/metrics`,
      guarded(async (request) => prometheus(monitor, request, naming)),
    )
  }
  if (dashboard) {
    const { page, stream } = createLivePage(monitor, loadPage)
    routes.set(base || '/', withLogin(guarded(page)))
    routes.set(`${base}/stream`, guarded(stream))
  }
  if (health !== false) {
    const root = expectPath(health, 'health')
    const isAllowed = async (request: HttpRequest) => (await gate(request)) === undefined
    for (const kind of ['all', 'live', 'ready', 'startup'] as const) {
      routes.set(kind === 'all' ? root || '/' : `${root}/${kind}`, async (request) => {
        const report = monitor.health(kind, { maxWait: `${probeWaitMs}ms` })
        // `live` and `startup` do not ask `authorize`: they show the same to everyone.
        const asks = monitor.healthDetails === 'authorized' && (kind === 'all' || kind === 'ready')
        const mayShow = asks ? await withDeadline(isAllowed(request), probeWaitMs, () => false) : false
        return healthAnswer(await report, mayShow || monitor.healthDetails === 'always', casing)
      })
    }
  }
  return routes
}

/**
 * For adapters that are middleware: returns the handler of a request, or `undefined` when the request is for others. A path may
 * end with a slash. `OPTIONS`, and other methods of the root, are left to the application.
 */
export function findHandler(routes: PerformanceRoutes, method: string, path: string): Handler | undefined {
  const isRoot = path === '/'
  const handle = routes.get(isRoot || !path.endsWith('/') ? path : path.slice(0, -1))
  if (handle === undefined || method === 'GET' || method === 'HEAD') return handle
  return isRoot || method === 'OPTIONS' ? undefined : async () => refuseMethod(method)
}

/** Answers a method that no performance route has. */
export function refuseMethod(method: string): HttpAnswer {
  return problem(405, `${method} is not allowed here`, { allow: 'GET, HEAD' })
}

/** Lets the browser ask for the token with its own login: the gate accepts it as a password. */
function withLogin(handle: Handler): Handler {
  return async (request) => {
    const answered = await handle(request)
    if (answered.status !== 401) return answered
    return {
      ...answered,
      headers: { ...answered.headers, 'www-authenticate': 'Basic realm="performance", charset="UTF-8"' },
    }
  }
}

function healthAnswer(report: HealthReport, details: boolean, casing: Casing): HttpAnswer {
  const document = details ? withCasing(report, casing) : { status: report.status }
  const failed = report.status === 'fail'
  return json(failed ? 503 : 200, document, 'application/health+json', failed ? { 'retry-after': '5' } : {})
}

async function stats(
  monitor: PerformanceSource,
  request: HttpRequest,
  casing: Casing,
  naming: Naming,
): Promise<HttpAnswer> {
  const { query } = request
  const { choice, faults } = readChoices(query)
  const sort = choice('sort', ['p95', 'count', 'total', 'errors'])
  const scope = choice('scope', ['instance', 'fleet'])
  const history = choice('history', ['true', 'false'])
  const format = choice('format', ['json', 'prometheus', 'hdr'])
  const limit = query.get('limit')
  if (limit !== null && !/^[1-9]\d{0,5}$/.test(limit)) faults.push('`limit` must be a whole number from 1 up')
  for (const name of ['route', 'method']) if (query.get(name) === '') faults.push(`\`${name}\` must not be empty`)
  if (faults.length > 0) return problem(400, faults.join('; '))

  const route = query.get('route') ?? undefined
  const method = query.get('method')?.toUpperCase()
  if (format === 'prometheus') return prometheus(monitor, request, naming)
  if (format === 'hdr') {
    if (route === undefined || method === undefined) return problem(400, '`format=hdr` needs a `method` and a `route`')
    return answer(200, 'text/plain; charset=utf-8', await monitor.toHdr(method, route))
  }
  const statsQuery: StatsQuery = {
    sort,
    limit: limit === null ? undefined : Number(limit),
    route,
    method,
    history: history === 'true',
  }
  const document = await (scope === 'fleet' ? monitor.fleetSnapshot(statsQuery) : monitor.snapshotInTurns(statsQuery))
  return answer(200, 'application/json', await serializeStats(document, casing, (warning) => monitor.warn(warning)))
}

async function prometheus(monitor: PerformanceSource, request: HttpRequest, usualNaming: Naming): Promise<HttpAnswer> {
  const { choice, faults } = readChoices(request.query)
  const scope = choice('scope', ['instance', 'fleet'])
  const naming = choice('naming', ['otel', 'classic']) ?? usualNaming
  if (faults.length > 0) return problem(400, faults.join('; '))
  const openMetrics = prefersOpenMetrics(request.header('accept'))
  const contentType = openMetrics
    ? 'application/openmetrics-text; version=1.0.0; charset=utf-8'
    : 'text/plain; version=0.0.4; charset=utf-8'
  const pieces = monitor.prometheus({ openMetrics, naming, scope })[Symbol.asyncIterator]()
  const first = await pieces.next()
  // Prometheus takes a failed scrape for a gap, but lower counters for a restart.
  if (first.done) return problem(503, 'The fleet cannot be read')
  return answer(200, contentType, concat(first.value, { [Symbol.asyncIterator]: () => pieces }), { vary: 'Accept' })
}

async function* concat(first: string, rest: AsyncIterable<string>): AsyncGenerator<string> {
  yield first
  yield* rest
}

/** Reads parameters that have one of several values, and notes what is wrong with them. */
function readChoices(query: URLSearchParams) {
  const faults: string[] = []
  const choice = <const Value extends string>(name: string, values: readonly Value[]): Value | undefined => {
    const text = query.get(name)
    const value = values.find((candidate) => candidate === text)
    if (text !== null && value === undefined) faults.push(`\`${name}\` must be one of ${values.join(', ')}`)
    return value
  }
  return { choice, faults }
}

function expectPath(path: string, option: string): string {
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw new TypeError(`Expected \`${option}\` to be a path that starts with a slash, got ${describeValue(path)}`)
  }
  return path.replace(/\/+$/, '')
}
