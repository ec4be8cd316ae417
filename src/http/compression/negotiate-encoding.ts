import Negotiator from 'negotiator'
import { expectString } from '../../shared/arguments.ts'
import type { ContentCoding, Encoding } from './codecs.ts'
import { availableCodings, expectCodings } from './compress-options.ts'

/**
 * Chooses the coding to send a body in (RFC 9110, 12.5.3): the one with the highest weight, and among equal ones the first of
 * `encodings`. If the header has a `*`, it prefers the codings that the header names, and then the oldest one, which every
 * client understands.
 *
 * @param acceptEncoding - the header; if it is absent or empty, the client accepts no coding
 * @param encodings - the codings to offer, the best first; by default zstd, br and gzip, without zstd on a Node that lacks it
 *
 * @example
 * ```ts
 * negotiateEncoding('gzip;q=0.5, br') // 'br'
 * ```
 */
export function negotiateEncoding(
  acceptEncoding: string | null | undefined,
  encodings: readonly ContentCoding[] = availableCodings(),
): Encoding {
  expectString(acceptEncoding ?? '', 'acceptEncoding')
  return negotiate(acceptEncoding ?? '', expectCodings(encodings)).encoding
}

export interface Negotiated {
  readonly encoding: Encoding
  /** The client refuses a body that is not encoded, so even a small one must be. */
  readonly refusesIdentity: boolean
}

/** Negotiates with a memory: a server sees few different headers, and parsing one costs as much as a small response. */
export function createNegotiation(
  encodings: readonly ContentCoding[],
): (acceptEncoding: string | null | undefined) => Negotiated {
  const negotiatedByHeader = new Map<string, Negotiated>()
  return (acceptEncoding) => {
    if (acceptEncoding === null || acceptEncoding === undefined) return identity
    const known = negotiatedByHeader.get(acceptEncoding)
    if (known !== undefined) return known
    if (negotiatedByHeader.size === maxHeaders) negotiatedByHeader.clear()
    const negotiated = negotiate(acceptEncoding, encodings)
    negotiatedByHeader.set(acceptEncoding, negotiated)
    return negotiated
  }
}

const maxHeaders = 100
const identity: Negotiated = { encoding: 'identity', refusesIdentity: false }

function negotiate(acceptEncoding: string, encodings: readonly ContentCoding[]): Negotiated {
  // `x-gzip` means gzip (RFC 9110, 8.4.1.3).
  const header = acceptEncoding.toLowerCase().replace(/\bx-gzip\b/g, 'gzip')
  const negotiator: PreferringNegotiator = new Negotiator({ headers: { 'accept-encoding': header } })
  const accepted = header.includes('*')
    ? negotiator.encodings([...encodings.toReversed(), 'identity'])
    : negotiator.encodings([...encodings, 'identity'], { preferred: encodings })
  const encoding = (accepted[0] ?? 'identity') as Encoding
  return { encoding, refusesIdentity: encoding !== 'identity' && !accepted.includes('identity') }
}

/** The types of `negotiator` lack the second parameter. */
interface PreferringNegotiator {
  encodings(available: readonly string[], options?: { readonly preferred: readonly string[] }): string[]
}
