import { watchRejection } from '../../shared/rejections.ts'
import type { SlowRequest } from '../types.ts'
import type { WallClock } from '../wall-clock.ts'

/**
 * The latest slow requests, in a ring whose entries are allocated once and overwritten: a server on which every request is
 * slow has no memory to spare.
 */
export class SlowRequests {
  readonly #entries: SlowEntry[]
  #written = 0

  constructor(keep: number) {
    // One more than is listed, so that there is an entry to write to even when `keep` is 0. Numbers start as fractions, so that
    // V8 writes them in place.
    this.#entries = Array.from({ length: keep + 1 }, () => ({
      at: 0.5,
      method: '',
      route: '',
      status: 0,
      outcome: 'completed',
      ms: 0.5,
      stallMs: 0.5,
      traceparent: undefined,
    }))
  }

  /** Returns the entry to overwrite with the next slow request. The caller must write every field. */
  nextEntry(): SlowEntry {
    return this.#entries[this.#written++ % this.#entries.length]!
  }

  /** The latest first. */
  list(wall: WallClock): SlowRequest[] {
    const count = Math.min(this.#written, this.#entries.length - 1)
    return Array.from({ length: count }, (_, age) =>
      toSlowRequest(this.#entries[(this.#written - 1 - age) % this.#entries.length]!, wall),
    )
  }

  clear(): void {
    this.#written = 0
  }
}

/** A slow request in the ring; overwritten by a later one. */
export interface SlowEntry {
  at: number
  method: string
  route: string
  status: number
  outcome: SlowRequest['outcome']
  ms: number
  stallMs: number
  traceparent: string | undefined
}

export function toSlowRequest({ at, traceparent, ...request }: SlowEntry, wall: WallClock): SlowRequest {
  return { at: wall.isoOf(at), ...request, traceId: traceIdOf(traceparent) }
}

/** The trace id of a valid `traceparent` header (W3C Trace Context 1, section 3.2). */
export function traceIdOf(traceparent: string | undefined): string | null {
  const id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent ?? '')?.[1]
  return id === undefined || /^0+$/.test(id) ? null : id
}

/** Reads the header, or ignores an error of the function: the request must be counted anyway. */
export function readTraceparent(given: string | (() => string | undefined) | undefined): string | undefined {
  if (typeof given !== 'function') return given
  try {
    const traceparent: unknown = given()
    watchRejection(traceparent)
    return typeof traceparent === 'string' ? traceparent : undefined
  } catch {
    return undefined
  }
}
