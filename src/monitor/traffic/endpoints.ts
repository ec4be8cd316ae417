import { Endpoint, type EndpointSettings } from './endpoint.ts'

/** The route that new endpoints share once there are `maxEndpoints` of them. */
export const overflowRoute = '(overflow)'

/** Requests that no route answered. Adapters record them under this name. */
export const unmatchedRoute = '(unmatched)'

/** Replaces methods that HTTP does not define, as in OpenTelemetry's `http.request.method`. */
export const otherMethod = '_OTHER'

/** Longer routes and names are cut: each is a key of documents and a label of metrics, which Prometheus and the fleet limit. */
const maxNameLength = 1_000

/**
 * Cuts a name. Half a character, as of an emoji that was cut, becomes U+FFFD. UTF-8 would do the same later, and then two
 * names might become one.
 */
export function cutName(name: string): string {
  return name.slice(0, maxNameLength).toWellFormed()
}

/** Replaces a route that is no text. */
const otherRoute = '_OTHER'

const knownMethods = /* @__PURE__ */ (() =>
  new Set('GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE QUERY'.split(' ')))()

/** The endpoints of a monitor by method and route, `maxEndpoints` at most. */
export class Endpoints {
  /** Number of requests that were counted in {@link overflowRoute}. */
  overflowCount = 0
  /** The endpoint of {@link overflowRoute}, if `maxEndpoints` was reached. */
  overflowEndpoint: Endpoint | undefined
  /** The methods of a route form a linked list: a route has few, and one look-up is cheaper than two. */
  readonly #byRoute = new Map<string, Endpoint>()
  readonly #settings: EndpointSettings
  readonly #maxEndpoints: number
  readonly #all: Endpoint[] = []

  constructor(settings: EndpointSettings, maxEndpoints: number) {
    this.#settings = settings
    this.#maxEndpoints = maxEndpoints
  }

  find(method: string, route: string): Endpoint | undefined {
    let endpoint = this.#byRoute.get(route)
    while (endpoint !== undefined && endpoint.method !== method) endpoint = endpoint.next
    return endpoint
  }

  /** Adds an endpoint that {@link find} did not find; returns the overflow's endpoint when there are too many. */
  add(method: string, route: string, now: number): Endpoint {
    // `record()` must not throw, and metrics need a text.
    if (typeof route !== 'string') return this.ensure(method, otherRoute, now)
    const name = cutName(route)
    if (name !== route) return this.find(method, name) ?? this.add(method, name, now)
    if (!knownMethods.has(method) && method !== otherMethod) {
      return this.find(otherMethod, route) ?? this.add(otherMethod, route, now)
    }
    if (this.#all.length >= this.#maxEndpoints) {
      this.overflowCount++
      this.overflowEndpoint ??= new Endpoint(otherMethod, overflowRoute, this.#settings, now)
      return this.overflowEndpoint
    }
    const endpoint = new Endpoint(method, route, this.#settings, now)
    endpoint.next = this.#byRoute.get(route)
    this.#byRoute.set(route, endpoint)
    this.#all.push(endpoint)
    return endpoint
  }

  /** Finds or adds the endpoint of a request that has not ended, which does not count in {@link overflowCount}. */
  ensure(method: string, route: string, now: number): Endpoint {
    const found = this.find(method, route)
    if (found !== undefined) return found
    const { overflowCount } = this
    const added = this.add(method, route, now)
    this.overflowCount = overflowCount
    return added
  }

  /** All endpoints, the overflow's last. */
  all(): readonly Endpoint[] {
    return this.overflowEndpoint === undefined ? this.#all : [...this.#all, this.overflowEndpoint]
  }

  clear(): void {
    this.#byRoute.clear()
    this.#all.length = 0
    this.overflowEndpoint = undefined
    this.overflowCount = 0
  }
}
