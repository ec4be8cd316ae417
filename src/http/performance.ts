import Negotiator from 'negotiator'
import type { HealthReport, StatsDocument, StatsQuery } from '../monitor/types.ts'
import { expectOneOf } from '../shared/assertions.ts'
import type { Casing } from '../shared/casing.ts'
import type { Warning } from '../shared/warnings.ts'
import { answer, type HttpAnswer, type HttpRequest, json, problem } from './answer.ts'
import { type Authorize, createGate } from './authorize.ts'
import { createDashboard, type LoadPage } from './dashboard.ts'
import { toWire, wireText } from './wire.ts'

/** Options of `performanceRoutes`, the same for every framework. */
export interface PerformanceRoutesOptions<Request = unknown> {
  /** Where the live page is, and the statistics: `<path>/stats`, `<path>/metrics`. @defaultValue `'/performance'` */
  readonly path?: string | undefined
  /** Where the health checks live, with `/live`, `/ready` and `/startup` below; `false` for none. @defaultValue `'/health'` */
  readonly health?: string | false | undefined
  /** Whether `<path>/metrics` exists, for Prometheus. @defaultValue true */
  readonly metrics?: boolean | undefined
  /** Whether the live page exists at `<path>`, with its stream of events at `<path>/stream`. @defaultValue true */
  readonly dashboard?: boolean | undefined
  /** Who may see statistics, metrics and the page, and the details of the health checks. @defaultValue see {@link Authorize} */
  readonly authorize?: Authorize<Request> | undefined
  /** Of the JSON documents' keys. @defaultValue `'snake'` */
  readonly casing?: Casing | undefined
}

/** What the routes need of a monitor. */
export interface PerformanceSource {
  readonly healthDetails: 'never' | 'authorized' | 'always'
  snapshotInTurns(query?: StatsQuery): Promise<StatsDocument>
  fleetSnapshot(query?: StatsQuery): Promise<StatsDocument>
  prometheus(options?: { readonly openMetrics?: boolean | undefined }): AsyncIterable<string>
  toHdr(method: string, route: string): string
  health(kind?: 'all' | 'live' | 'ready' | 'startup'): Promise<HealthReport>
  warn(warning: Warning): void
}

/** What an adapter hands in, as `http/` imports no feature to run it. */
export interface PerformanceParts {
  readonly loadPage: LoadPage
}

/** The routes by their path, for a router; the request's `path` is not looked at again. */
export type PerformanceRoutes = ReadonlyMap<string, (request: HttpRequest) => Promise<HttpAnswer>>

/**
 * The routes of a monitor, framework-free. All answer GET and HEAD.
 *
 * @throws TypeError for a path that does not start with a slash, or a wrong `authorize` or `casing`
 */
export function createPerformanceRoutes(
  monitor: PerformanceSource,
  {
    path = '/performance',
    health = '/health',
    metrics = true,
    dashboard = true,
    authorize,
    casing = 'snake',
  }: PerformanceRoutesOptions<never> | undefined = {},
  { loadPage }: PerformanceParts,
  env: Readonly<Record<string, string | undefined>> = process.env,
): PerformanceRoutes {
  expectOneOf(casing, 'casing', ['snake', 'camel'])
  const gate = createGate(authorize, env, (warning) => monitor.warn(warning))
  const guarded = (handle: (request: HttpRequest) => Promise<HttpAnswer>) => async (request: HttpRequest) =>
    (await gate(request)) ?? handle(request)

  const routes = new Map<string, (request: HttpRequest) => Promise<HttpAnswer>>()
  const base = expectPath(path, 'path')
  routes.set(
    `${base}/stats`,
    guarded((request) => stats(monitor, request, casing)),
  )
  if (metrics) {
    routes.set(
      `${base}/metrics`,
      guarded(async (request) => prometheus(monitor, request)),
    )
  }
  if (dashboard) {
    const { page, stream } = createDashboard(monitor, loadPage)
    routes.set(base || '/', withLogin(guarded(page)))
    routes.set(`${base}/stream`, guarded(stream))
  }
  if (health !== false) {
    const root = expectPath(health, 'health')
    const mayShow = async (request: HttpRequest) =>
      monitor.healthDetails === 'always' ||
      (monitor.healthDetails === 'authorized' && (await gate(request)) === undefined)
    for (const kind of ['all', 'live', 'ready', 'startup'] as const) {
      routes.set(kind === 'all' ? root || '/' : `${root}/${kind}`, async (request) =>
        healthAnswer(await monitor.health(kind), await mayShow(request), casing),
      )
    }
  }
  return routes
}

/** A browser that opens the page can be asked for the token: the gate takes it as a password too. */
function withLogin(handle: (request: HttpRequest) => Promise<HttpAnswer>): typeof handle {
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
  const document = details ? toWire(report, casing) : { status: report.status }
  const failed = report.status === 'fail'
  return json(failed ? 503 : 200, document, 'application/health+json', failed ? { 'retry-after': '5' } : {})
}

async function stats(monitor: PerformanceSource, request: HttpRequest, casing: Casing): Promise<HttpAnswer> {
  const { query } = request
  const sort = choice(query, 'sort', ['p95', 'count', 'total', 'errors'])
  const scope = choice(query, 'scope', ['instance', 'fleet'])
  const format = choice(query, 'format', ['json', 'prometheus', 'hdr'])
  const limit = query.get('limit')
  const faults = [sort, scope, format].flatMap(({ fault }) => fault ?? [])
  if (limit !== null && !/^[1-9]\d{0,5}$/.test(limit)) faults.push('`limit` must be a whole number from 1 up')
  if (faults.length > 0) return problem(400, faults.join('; '))

  const route = query.get('route') ?? undefined
  const method = query.get('method')?.toUpperCase()
  if (format.value === 'prometheus') return prometheus(monitor, request)
  if (format.value === 'hdr') {
    if (route === undefined || method === undefined) return problem(400, '`format=hdr` needs a `method` and a `route`')
    return answer(200, 'text/plain; charset=utf-8', monitor.toHdr(method, route))
  }
  const asked: StatsQuery = { sort: sort.value, limit: limit === null ? undefined : Number(limit), route, method }
  const document = await (scope.value === 'fleet' ? monitor.fleetSnapshot(asked) : monitor.snapshotInTurns(asked))
  return answer(200, 'application/json', await wireText(document, casing))
}

function prometheus(monitor: PerformanceSource, request: HttpRequest): HttpAnswer {
  const accepted = new Negotiator({ headers: { accept: request.header('accept') ?? '*/*' } })
  const openMetrics =
    accepted.mediaType(['text/plain', 'application/openmetrics-text']) === 'application/openmetrics-text'
  const contentType = openMetrics
    ? 'application/openmetrics-text; version=1.0.0; charset=utf-8'
    : 'text/plain; version=0.0.4; charset=utf-8'
  return answer(200, contentType, monitor.prometheus({ openMetrics }))
}

interface Choice<Value extends string> {
  readonly value?: Value
  readonly fault?: string
}

function choice<const Value extends string>(
  query: URLSearchParams,
  name: string,
  values: readonly Value[],
): Choice<Value> {
  const text = query.get(name)
  if (text === null) return {}
  const value = values.find((candidate) => candidate === text)
  return value === undefined ? { fault: `\`${name}\` must be one of ${values.join(', ')}` } : { value }
}

function expectPath(path: string, option: string): string {
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw new TypeError(`Expected \`${option}\` to be a path that starts with a slash, got \`${String(path)}\``)
  }
  return path.replace(/\/+$/, '')
}
