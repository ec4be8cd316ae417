import { ConcurrencyLimit, type LimitClock } from './concurrency-limit.ts'

/** How many classes have a limit of their own. */
const maxClasses = 64
/** From so many classes on, a new one gets its own limit only when it had so many requests within the time. */
const manyClasses = 32
const oftenRequests = 10
const oftenMs = 1_000

/**
 * The limit of each kind of request: of one method and one shape of path, in which all parts with a digit are alike. The route is
 * not known yet when a request comes in. Shapes that come seldom, such as those of paths with names in them, share one limit.
 * Finding a limit allocates nothing.
 */
export class RequestClasses {
  readonly #clock: LimitClock
  readonly #limits = new Map<number, ConcurrencyLimit>()
  readonly #rest: ConcurrencyLimit
  /** How often shapes without a limit came, by a part of their hash. */
  readonly #seen = new Uint16Array(256)
  #seenSince = 0

  constructor(clock: LimitClock) {
    this.#clock = clock
    this.#rest = new ConcurrencyLimit('(others)', clock)
  }

  find(method: string, url: string): ConcurrencyLimit {
    const hash = hashOf(method, url)
    return this.#limits.get(hash) ?? this.#noteRare(hash, method, url)
  }

  *all(): Generator<ConcurrencyLimit> {
    yield this.#rest
    yield* this.#limits.values()
  }

  #noteRare(hash: number, method: string, url: string): ConcurrencyLimit {
    if (this.#limits.size < manyClasses) return this.#add(hash, method, url)
    const now = this.#clock.now()
    if (now - this.#seenSince > oftenMs) {
      this.#seenSince = now
      this.#seen.fill(0)
    }
    const place = hash & 255
    this.#seen[place]!++
    if (this.#seen[place]! <= oftenRequests) return this.#rest
    if (this.#limits.size >= maxClasses) this.#removeUnused()
    return this.#limits.size >= maxClasses ? this.#rest : this.#add(hash, method, url)
  }

  #add(hash: number, method: string, url: string): ConcurrencyLimit {
    const limit = new ConcurrencyLimit(`${method} ${shapeOf(url)}`, this.#clock)
    this.#limits.set(hash, limit)
    return limit
  }

  #removeUnused(): void {
    for (const [hash, limit] of this.#limits) {
      if (limit.isUnused) this.#limits.delete(hash)
    }
  }
}

const slash = 47
const questionMark = 63

/** FNV-1a of the method and the shape of the path. */
function hashOf(method: string, url: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < method.length; at++) hash = Math.imul(hash ^ method.charCodeAt(at), 0x01000193)
  let beforePart = hash
  let hasDigit = false
  for (let at = 0; at < url.length; at++) {
    const code = url.charCodeAt(at)
    if (code === questionMark) break
    if (code === slash) {
      beforePart = hash = Math.imul(hash ^ slash, 0x01000193)
      hasDigit = false
    } else if (!hasDigit) {
      hasDigit = code >= 48 && code <= 57
      hash = hasDigit ? Math.imul(beforePart ^ questionMark, 0x01000193) : Math.imul(hash ^ code, 0x01000193)
    }
  }
  return hash
}

/** As in `/users/:/posts`. */
function shapeOf(url: string): string {
  return (url.split('?', 1)[0] as string).replace(/[^/]*\d[^/]*/g, ':')
}
