import type { SlowRequest } from './types.ts'

/**
 * The latest slow requests. Its places are made once and written over, so that a server on which everything is slow is not
 * burdened further.
 */
export class SlowRing {
  readonly #keep: number
  readonly #places: Place[]
  #written = 0

  constructor(keep: number) {
    this.#keep = keep
    // With one place more than is listed, there is always one to write to.
    this.#places = Array.from({ length: keep + 1 }, () => ({
      at: 0.5,
      method: '',
      route: '',
      status: 0,
      ms: 0.5,
      stallMs: 0.5,
      traceparent: undefined,
    }))
  }

  /** The place for another request, to be filled in whole. */
  next(): Place {
    return this.#places[this.#written++ % this.#places.length]!
  }

  /** The latest first. */
  list(): SlowRequest[] {
    const kept = Math.min(this.#written, this.#keep)
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
