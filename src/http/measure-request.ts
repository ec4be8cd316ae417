import type { IncomingMessage, ServerResponse } from 'node:http'
import type { openRequestScope, QueryScope } from '../database/n-plus-one/query-scope.ts'
import type { PerformanceMonitor } from '../monitor/monitor.ts'
import type { OpenRequest } from '../monitor/traffic/open-requests.ts'
import type { Outcome } from '../monitor/types.ts'
import { expectOneOf, expectOptions, type OptionKinds } from '../shared/arguments.ts'
import { watchRejection } from '../shared/rejections.ts'
import type { OpenRequestScope } from '../shared/scope/request-scope.ts'
import { enableScopes } from '../shared/scope/work.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import type { HttpRequest } from './answer.ts'
import { expectMonitor, warnIfMountedTwice } from './expect-call.ts'
import { onResponseClose } from './node-response/response-close.ts'
import { addServerTiming, createTimingGate, type MaySeeTiming } from './server-timing.ts'

/** The route of requests that no route answered, so that unknown URLs are one endpoint. */
export const unmatched = '(unmatched)'

type RequestMonitor = Pick<PerformanceMonitor, 'start' | 'record' | 'routeOf' | 'isDraining' | 'warn'>

/** A request that is measured. Admission control writes what it decided into it, and so needs no listener of its own. */
export interface MeasuredRequest {
  readonly response: ServerResponse
  /** Whether it was turned away. */
  isShed: boolean
  /** Told when the request ends. */
  limit: { leave(enteredAt: number, outcome: 'completed' | 'aborted' | undefined): void } | undefined
  /** The stamp for {@link limit}. */
  admittedAt: number
  /** Whether it has ended. A {@link limit} that is set after that is never told. */
  readonly hasEnded: boolean
}

/** The requests that `monitorRequests` measures for one monitor, as admission control finds them. */
export interface MeasuredRequests {
  /** The one that came in last. */
  latest: MeasuredRequest | undefined
  /** Those under way, while {@link keepsAll} is set. */
  readonly byResponse: WeakMap<ServerResponse, MeasuredRequest>
  keepsAll: boolean
}

const requestsByMonitor = new WeakMap<object, MeasuredRequests>()

/** `undefined` when the monitor measures no requests: `monitorRequests` was not called. */
export function measuredRequestsOf(monitor: object): MeasuredRequests | undefined {
  return requestsByMonitor.get(monitor)
}

/** The pattern of the route that answered, such as `/users/:id`. */
type LabelOf<Original> = (original: Original, status: number) => string

/**
 * Measures a request from now on to the close of its response.
 *
 * @param original - the framework's own request, which the user may have called `setRoute` with
 * @returns the scope to run the handler in, with {@link runInScope}
 */
type MeasureRequest = <Original extends object>(
  method: string,
  request: IncomingMessage,
  response: ServerResponse,
  original: Original,
  labelOf: LabelOf<Original>,
) => QueryScope | undefined

/** Options of `monitorRequests`. `Request` is the framework's own. */
export interface MonitorRequestsOptions<Request = unknown> {
  /**
   * Returns the label that a request is counted under; `undefined` for the pattern of its route. Never return a URL: each
   * label is an endpoint of its own.
   */
  readonly label?: ((request: Request) => string | undefined) | undefined
  /**
   * How long a request may take before `requestScope().signal` is aborted with a `TimeoutError`. No answer is sent by
   * itself: work that uses the signal rejects, and with `instrument({ abandon: 'cancel' })` each query too.
   * @defaultValue none
   */
  readonly deadline?: Duration | undefined
  /**
   * `'authorized'`: answers carry `Server-Timing`, the parts of the request's time so far, if the client may see the statistics
   * under `performanceRoutes` of the same monitor. @defaultValue false
   */
  readonly serverTiming?: 'authorized' | false | undefined
}

/** What a scope of `monitorRequests` does beside counting. */
export interface ScopeSettings {
  readonly deadlineMs: number | undefined
  readonly maySeeTiming: MaySeeTiming | undefined
}

/** @throws TypeError or RangeError for a wrong option */
export function scopeSettings(
  monitor: Pick<PerformanceMonitor, 'warn'>,
  { deadline, serverTiming = false }: Pick<MonitorRequestsOptions, 'deadline' | 'serverTiming'>,
): ScopeSettings {
  const deadlineMs = deadline === undefined ? undefined : parseDuration(deadline, 'deadline')
  if (deadlineMs === 0) throw new RangeError('Expected `deadline` to be longer than 0ms')
  expectOneOf(serverTiming, 'serverTiming', ['authorized', false])
  if (deadlineMs !== undefined || serverTiming !== false) enableScopes()
  return { deadlineMs, maySeeTiming: serverTiming === false ? undefined : createTimingGate(monitor) }
}

const monitorRequestsOptions: OptionKinds<MonitorRequestsOptions> = {
  label: 'function',
  deadline: 'own',
  serverTiming: 'own',
}

/**
 * Checks the arguments of `monitorRequests`.
 *
 * @throws TypeError for a wrong monitor or option
 */
export function expectMonitorRequests(monitor: PerformanceMonitor, options: object): void {
  expectMonitor(monitor)
  expectOptions(options, monitorRequestsOptions)
  warnIfMountedTwice(monitor)
}

/** The user's label, or the pattern of the route where the user gives none. */
export function labelOption<Original>(
  label: ((original: Original) => string | undefined) | undefined,
  labelOf: LabelOf<Original>,
): LabelOf<Original> {
  if (label === undefined) return labelOf
  return (original, status) => {
    const given: unknown = label(original)
    if (typeof given === 'string' && given !== '') return given
    watchRejection(given)
    return labelOf(original, status)
  }
}

/** @param openScope - passed in, because `http/` imports no feature */
export function createRequestMeasure(
  monitor: RequestMonitor,
  openScope: typeof openRequestScope,
  { deadlineMs, maySeeTiming }: Partial<ScopeSettings> = {},
): MeasureRequest {
  const requests = requestsByMonitor.get(monitor) ?? { latest: undefined, byResponse: new WeakMap(), keepsAll: false }
  requestsByMonitor.set(monitor, requests)
  return (method, request, response, original, labelOf) => {
    const open = new OpenResponse(monitor, method, request, response, original, labelOf)
    requests.latest = open
    if (requests.keepsAll) requests.byResponse.set(response, open)
    const startedAt = monitor.start(open)
    closeIfDraining(monitor, response)
    const scope = openScope(() => `${method} ${routeLabel(monitor, original, labelOf, 200)}`)
    if (scope !== undefined && deadlineMs !== undefined) scope.request.setDeadline(deadlineMs)
    if (scope !== undefined && maySeeTiming !== undefined) {
      addServerTiming(response, scope.request, maySeeTiming(toHttpRequest(request, original)))
    }
    // One closure: a property on the response or an entry in a WeakMap costs several times as much.
    const end = () => {
      try {
        open.hasEnded = true
        const waits = endScope(scope?.request, request, response)
        const outcome = open.isShed ? 'shed' : outcomeOf(request, response)
        open.limit?.leave(open.admittedAt, timedOutcome(outcome, response.statusCode))
        const status = outcome === 'aborted' ? 499 : response.statusCode
        // Node parses the headers when they are first read, and only slow requests need this one.
        const traceparent = () => request.headers.traceparent as string | undefined
        const label = routeLabel(monitor, original, labelOf, status)
        monitor.record(method, label, status, startedAt, outcome, traceparent, waits)
      } finally {
        scope?.end()
      }
    }
    onResponseClose(request, response, end)
    return scope
  }
}

/** Ends what the request waits for, if its client has left. @returns where its time went */
function endScope(
  scope: OpenRequestScope | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): OpenRequestScope['waits'] | undefined {
  if (scope === undefined) return undefined
  scope.end()
  const isLeft = !response.writableEnded || request.aborted
  if (isLeft && request.headers.upgrade === undefined && !isWholeSent(request, response)) scope.abandon(clientLeft())
  return scope.waits
}

/** The reason of `requestScope().signal` when the client has left before it had its answer. */
export function clientLeft(): DOMException {
  return new DOMException('The client has left', 'AbortError')
}

function toHttpRequest({ method = '', headers, socket }: IncomingMessage, original: unknown): HttpRequest {
  const header = (name: string) => headers[name] as string | undefined
  return { method, path: '', query: new URLSearchParams(), header, original, socket }
}

/** Makes the response close its connection while the monitor drains. HTTP/2 has no such header. */
export function closeIfDraining(
  monitor: Pick<PerformanceMonitor, 'isDraining'>,
  response: ServerResponse | undefined,
): void {
  if (monitor.isDraining && response !== undefined && 'shouldKeepAlive' in response) response.shouldKeepAlive = false
}

/** The label that the user has set with `setRoute`, `null` included, or else the pattern of the route. */
export function routeLabel<Original extends object>(
  monitor: Pick<PerformanceMonitor, 'routeOf'>,
  original: Original,
  labelOf: LabelOf<Original>,
  status: number,
): string | null {
  const label = monitor.routeOf(original)
  if (label !== undefined) return label
  try {
    return labelOf(original, status)
  } catch {
    // Thrown in a listener, an error of the user's function would end the process.
    return unmatched
  }
}

export function runInScope<Result>(scope: QueryScope | undefined, run: () => Result): Result {
  return scope === undefined ? run() : scope.run(run)
}

/**
 * How a closed response ended. An event stream ends when its client leaves, and an upgraded connection when its socket
 * closes: neither was aborted. `writableFinished` would be wrong here: it is false for a whole answer to an injected request,
 * and true for an aborted HTTP/2 stream.
 */
function outcomeOf(request: IncomingMessage, response: ServerResponse): Outcome {
  if (isEventStream(response)) return 'stream'
  // Over HTTP/2 the answer to HEAD ends with its head.
  const isEnded =
    response.writableEnded || (request.method === 'HEAD' && request.httpVersionMajor > 1 && response.headersSent)
  if (isEnded && !request.aborted) return 'completed'
  if (request.headers.upgrade !== undefined) return 'upgrade'
  return isWholeSent(request, response) ? 'completed' : 'aborted'
}

/**
 * Whether the client of the first response of a connection has got all that its `Content-Length` promised, although the
 * response was not ended yet. Proxies such as nginx then close the connection, while a file's stream still looks for its end.
 */
function isWholeSent({ httpVersionMajor, socket }: IncomingMessage, response: ServerResponse): boolean {
  if (httpVersionMajor > 1) return false
  const { _header, _contentLength, _hasBody } = response as unknown as {
    readonly _header?: unknown
    readonly _contentLength?: unknown
    readonly _hasBody?: boolean
  }
  const length = _hasBody === false ? 0 : _contentLength
  if (typeof _header !== 'string' || typeof length !== 'number') return false
  // If the client had left bytes unread, its system would have reset the connection.
  return socket?.errored === null && socket.bytesWritten === _header.length + length
}

/**
 * The outcome, if the request's duration tells how fast the server is. An error is faster, and a stream may take any time.
 */
function timedOutcome(outcome: Outcome, status: number): 'completed' | 'aborted' | undefined {
  if (outcome === 'completed') return status < 500 ? outcome : undefined
  return outcome === 'aborted' ? outcome : undefined
}

const eventStream = 'text/event-stream'

function isEventStream(response: ServerResponse): boolean {
  const contentType = response.getHeader('content-type')
  if (contentType !== undefined) return String(contentType).startsWith(eventStream)
  // Node keeps headers that were given to `writeHead()` only in the text that it sent. A stream has no `Content-Length`.
  const { _header, _contentLength } = response as unknown as { _header?: unknown; _contentLength?: unknown }
  // In HTTP/2 `_header` only says whether the head was sent, and `getHeader` knows all headers.
  return typeof _contentLength !== 'number' && typeof _header === 'string' && _header.includes(eventStream)
}

/** A request under way, whose response shows what it is. */
class OpenResponse<Original extends object> implements OpenRequest, MeasuredRequest {
  readonly original: Original
  readonly method: string
  readonly response: ServerResponse
  isShed = false
  limit: MeasuredRequest['limit'] = undefined
  admittedAt = 0
  hasEnded = false
  readonly #monitor: Pick<PerformanceMonitor, 'routeOf'>
  readonly #request: IncomingMessage
  readonly #labelOf: LabelOf<Original>

  constructor(
    monitor: Pick<PerformanceMonitor, 'routeOf'>,
    method: string,
    request: IncomingMessage,
    response: ServerResponse,
    original: Original,
    labelOf: LabelOf<Original>,
  ) {
    this.#monitor = monitor
    this.method = method
    this.#request = request
    this.response = response
    this.original = original
    this.#labelOf = labelOf
  }

  get route(): string | null {
    return routeLabel(this.#monitor, this.original, this.#labelOf, 200)
  }

  get isLongLived(): boolean {
    return this.#request.headers.upgrade !== undefined || isEventStream(this.response)
  }
}
