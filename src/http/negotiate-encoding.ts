import Negotiator from 'negotiator'
import { availableCodings, type ContentCoding, type Encoding } from './codecs.ts'

/**
 * The coding to send a body in, by what the client accepts (RFC 9110, 12.5.3): the highest weight, and among equal ones the
 * first of `encodings`. Where a `*` stands for what is not named, codings that are named go first, and then the oldest one,
 * which everybody has.
 *
 * @param acceptEncoding - the header; absent or empty, it accepts no coding
 * @param encodings - what can be offered, the best first; without it zstd, br, gzip, as far as Node has them
 *
 * @example
 * ```ts
 * negotiateEncoding('gzip;q=0.5, br') // 'br'
 * ```
 */
export function negotiateEncoding(
  acceptEncoding: string | null | undefined,
  encodings: readonly ContentCoding[] = availableCodings,
): Encoding {
  return negotiate(acceptEncoding, encodings).encoding
}

/** What {@link negotiate} found. */
export interface Negotiated {
  readonly encoding: Encoding
  /** The client refuses a body without coding: even a small one has to be encoded. */
  readonly refusesIdentity: boolean
}

/** Negotiates, and remembers: a server sees few different headers, and reading one costs as much as a small response. */
export function createNegotiation(
  encodings: readonly ContentCoding[],
): (acceptEncoding: string | null | undefined) => Negotiated {
  const known = new Map<string, Negotiated>()
  return (acceptEncoding) => {
    if (acceptEncoding === null || acceptEncoding === undefined) return identity
    const found = known.get(acceptEncoding)
    if (found !== undefined) return found
    if (known.size === maxKnown) known.clear()
    const negotiated = negotiate(acceptEncoding, encodings)
    known.set(acceptEncoding, negotiated)
    return negotiated
  }
}

const maxKnown = 100
const identity: Negotiated = { encoding: 'identity', refusesIdentity: false }

function negotiate(acceptEncoding: string | null | undefined, encodings: readonly ContentCoding[]): Negotiated {
  if (acceptEncoding === null || acceptEncoding === undefined) return identity
  // RFC 9110, 8.4.1.3: to be taken as the same.
  const header = acceptEncoding.toLowerCase().replace(/\bx-gzip\b/g, 'gzip')
  const negotiator: PreferringNegotiator = new Negotiator({ headers: { 'accept-encoding': header } })
  const accepted = header.includes('*')
    ? negotiator.encodings([...encodings.toReversed(), 'identity'])
    : negotiator.encodings([...encodings, 'identity'], { preferred: encodings })
  const encoding = (accepted[0] ?? 'identity') as Encoding
  return { encoding, refusesIdentity: encoding !== 'identity' && !accepted.includes('identity') }
}

/** The package's types do not know its second parameter. */
interface PreferringNegotiator {
  encodings(available: readonly string[], options?: { readonly preferred: readonly string[] }): string[]
}
