import type { BucketLayout } from '../shared/buckets.ts'
import { Endpoint } from './endpoint.ts'
import type { Slicing } from './window.ts'

/** Where requests go that came when there were `maxEndpoints` endpoints already. */
export const overflowRoute = '(overflow)'

/** What a method is called that HTTP does not define (OpenTelemetry's `http.request.method`). */
export const otherMethod = '_OTHER'

const knownMethods = new Set('GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE QUERY'.split(' '))

/** The endpoints of a monitor, by method and route, and never more than allowed. */
export class Endpoints {
  /** Requests that found no place of their own. */
  overflow = 0
  /** By route; the methods of a route are chained, because there are few and one look-up is cheaper than two. */
  readonly #byRoute = new Map<string, Endpoint>()
  readonly #layout: BucketLayout
  readonly #slicing: Slicing
  readonly #max: number
  readonly #all: Endpoint[] = []
  #overflowing: Endpoint | undefined

  constructor(layout: BucketLayout, slicing: Slicing, max: number) {
    this.#layout = layout
    this.#slicing = slicing
    this.#max = max
  }

  /** The endpoint, if it was seen and has a place of its own. */
  find(method: string, route: string): Endpoint | undefined {
    let endpoint = this.#byRoute.get(route)
    while (endpoint !== undefined && endpoint.method !== method) endpoint = endpoint.next
    return endpoint
  }

  /** A place for an endpoint that was not found: its own, or the one of the overflow. */
  add(method: string, route: string, now: number): Endpoint {
    if (!knownMethods.has(method) && method !== otherMethod) {
      return this.find(otherMethod, route) ?? this.add(otherMethod, route, now)
    }
    if (this.#all.length >= this.#max) {
      this.overflow++
      this.#overflowing ??= new Endpoint(otherMethod, overflowRoute, this.#layout, this.#slicing, now)
      return this.#overflowing
    }
    const endpoint = new Endpoint(method, route, this.#layout, this.#slicing, now)
    endpoint.next = this.#byRoute.get(route)
    this.#byRoute.set(route, endpoint)
    this.#all.push(endpoint)
    return endpoint
  }

  /** The entry of requests that found no place, once there were some. */
  get overflowing(): Endpoint | undefined {
    return this.#overflowing
  }

  /** All of them, the overflow last. */
  all(): readonly Endpoint[] {
    return this.#overflowing === undefined ? this.#all : [...this.#all, this.#overflowing]
  }

  clear(): void {
    this.#byRoute.clear()
    this.#all.length = 0
    this.#overflowing = undefined
    this.overflow = 0
  }
}
