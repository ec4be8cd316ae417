import { originHeaders } from '../response-key.ts'
import type { CachedRequest } from './request-rules.ts'

const maxNewHosts = 1_000
const maxVariants = 8
/** A longer origin is not remembered: clients choose what is kept here. */
const maxLength = 1_000
const forgetAfterMs = 10 * 60_000
const maxKnown = 10_000
/**
 * The chance of a further origin, at each request, to be remembered. One that many ask for is known soon, one that a client
 * invents seldom.
 */
const chanceOfLate = 1 / 64

/** For each host, what else clients say of the origin. */
type Origins = Map<string, Set<string>>

/**
 * Limits how many variants of a response clients can make by naming origins: `Host` and `X-Forwarded-*` are in the key, and
 * a client may invent them. An origin that is asked for again in time stays known, however many are invented.
 *
 * @returns whether a request is of a known origin, or of one of the first new ones
 */
export function createOriginLimit(
  random: () => number = Math.random,
): (request: CachedRequest, now: number) => boolean {
  let known: Origins = new Map()
  let before: Origins = new Map()
  let count = 0
  let newHosts = 0
  let since = Number.NEGATIVE_INFINITY

  /** Forgets the origins that nobody asks for until the next turn. */
  const turn = () => {
    before = known
    known = new Map()
    count = 0
  }

  const mayAdd = (host: string, variants: Set<string> | undefined, variant: string): boolean => {
    const earlier = before.get(host)
    if (earlier?.has(variant)) return true
    const isNewHost = variants === undefined && earlier === undefined
    if (isNewHost ? newHosts < maxNewHosts : (variants?.size ?? 0) < maxVariants) {
      if (isNewHost) newHosts++
      return true
    }
    return random() < chanceOfLate
  }

  return (request, now) => {
    if (now - since > forgetAfterMs || now < since) {
      turn()
      newHosts = 0
      since = now
    }
    let variant = ''
    for (const name of originHeaders) {
      const value = request.header(name) ?? ''
      if (value !== '') variant += `${name}: ${value}\n`
    }
    const host = request.header('host') ?? ''
    // Nested maps need no combined text: this runs before every hit.
    const variants = known.get(host)
    if (variants?.has(variant)) return true
    if (host.length + variant.length > maxLength || !mayAdd(host, variants, variant)) return false
    if (count === maxKnown) turn()
    count++
    const added = known.get(host) ?? new Set()
    known.set(host, added.add(variant))
    return true
  }
}
