import type { SlowRequest } from './types.ts'

/**
 * The latest slow requests. Its places are made once and written over, so that a server on which everything is slow is not
 * burdened further.
 */
export class SlowRing {
  readonly #places: Place[]
  #written = 0

  constructor(keep: number) {
    this.#places = Array.from({ length: keep }, () => ({
      at: 0.1,
      method: '',
      route: '',
      status: 0,
      ms: 0.1,
      stallMs: 0.1,
      traceparent: undefined,
    }))
  }

  /** Keeps a request and returns its place, whose wait may be added later. */
  add(
    at: number,
    method: string,
    route: string,
    status: number,
    ms: number,
    traceparent: string | undefined,
  ): Place | undefined {
    const place = this.#places[this.#written % this.#places.length]
    if (place === undefined) return undefined
    this.#written++
    place.at = at
    place.method = method
    place.route = route
    place.status = status
    place.ms = ms
    place.stallMs = 0
    place.traceparent = traceparent
    return place
  }

  /** The latest first. */
  list(): SlowRequest[] {
    const kept = Math.min(this.#written, this.#places.length)
    return Array.from({ length: kept }, (_, age) =>
      describePlace(this.#places[(this.#written - 1 - age) % this.#places.length]!),
    )
  }

  clear(): void {
    this.#written = 0
  }
}

/** Where one request is kept. */
export interface Place {
  at: number
  method: string
  route: string
  status: number
  ms: number
  stallMs: number
  traceparent: string | undefined
}

export function describePlace({ at, traceparent, ...request }: Place): SlowRequest {
  return { at: new Date(at).toISOString(), ...request, traceId: traceIdOf(traceparent) }
}

/** The trace id of a `traceparent` header (W3C Trace Context 1, section 3.2), when it is a valid one. */
function traceIdOf(traceparent: string | undefined): string | null {
  const id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent ?? '')?.[1]
  return id === undefined || /^0+$/.test(id) ? null : id
}
