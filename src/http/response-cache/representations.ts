import type { Key } from '../../cache/key.ts'
import type { ContentCoding } from '../compression/codecs.ts'
import type { ResponseCompressor } from '../compression/compressor.ts'
import { type PreparedHead, prepareHead } from './cached-answer.ts'
import { extendKey } from './response-key.ts'
import { headerOf } from './rules/answer-head.ts'
import type { StoredResponse } from './stored-response.ts'

/** How a stored response is sent to clients that accept the same codings. */
export interface Representation {
  /** The coding to send the body in, if that makes it smaller. */
  readonly coding: ContentCoding | undefined
  /** The client refuses a body that is not encoded. */
  readonly mustEncode: boolean
  readonly plain: PreparedHead
  readonly encoded: PreparedHead
  /** The key of the encoded body. The hash in it stands for what the body depends on. */
  readonly encodedKey: Key
}

/** Finds the representation of a stored response. Each is made once, because that costs more than the rest of a hit. */
export type RepresentationOf = (
  stored: StoredResponse,
  key: Key,
  acceptEncoding: string | null | undefined,
) => Representation

export function createRepresentations(compressor: ResponseCompressor | undefined): RepresentationOf {
  const known = new WeakMap<StoredResponse, Map<string, Representation>>()
  return (stored, key, acceptEncoding) => {
    const { encoding, refusesIdentity } = compressor?.negotiate(acceptEncoding) ?? anyBody
    const preference = refusesIdentity ? `${encoding} alone` : encoding
    const representations = known.get(stored) ?? new Map<string, Representation>()
    if (representations.size === 0) known.set(stored, representations)
    const found = representations.get(preference)
    if (found !== undefined) return found
    const representation = represent(stored, key, acceptEncoding, compressor)
    representations.set(preference, representation)
    return representation
  }
}

const anyBody = { encoding: 'identity', refusesIdentity: false }

function represent(
  stored: StoredResponse,
  key: Key,
  acceptEncoding: string | null | undefined,
  compressor: ResponseCompressor | undefined,
): Representation {
  const { status, body, hash } = stored
  const plan = compressor?.plan({ acceptEncoding, status, header: headerOf(stored) }, body.length)
  const isEncoded = plan !== undefined && 'coding' in plan
  const plain = prepareHead(stored, 'identity', isEncoded || plan?.set.vary !== undefined)
  if (!isEncoded) return { coding: undefined, mustEncode: false, plain, encoded: plain, encodedKey: key }
  const { coding, mustEncode } = plan
  return {
    coding,
    mustEncode,
    plain,
    encoded: prepareHead(stored, coding, true),
    encodedKey: extendKey(key, [coding, hash]),
  }
}
