import fc from 'fast-check'
import { type Cache, createCache, PerformanceMonitor } from 'posthaste'
import { cacheResponses, compressResponses, monitorRequests } from 'posthaste/express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Exchange, type Peer, startPeer, type Wrap } from './exchange.ts'
import { programs, type Step } from './programs.ts'

const runs = Number(process.env.RUNS ?? 60)
const seed = Number(process.env.SEED ?? 20_26)

/** What must be equal whatever is around the handler. */
function comparable(exchange: Exchange, { isEncoded, headers: given }: Exchange, version: string): unknown {
  const { status, message, headers, trailers, body, isComplete, isReused, seen } = exchange
  const isStored = String(given['cache-status']).endsWith('stored')
  const hidden = new Set(['date', 'vary', 'content-encoding', 'cache-status', 'keep-alive'])
  if (isEncoded || isStored || status === 304) for (const name of framing) hidden.add(name)
  if (isStored) hidden.add('etag')
  // The cache knows the length of what it stores, so that the end of the connection need not delimit it.
  const isKeptOpen = isStored && (version === '1.0' || headers.connection !== 'close')
  if (isStored && version === '1.0') hidden.add('connection')
  const kept = Object.entries(headers).filter(([name]) => !hidden.has(name))
  const strong = kept.map(([name, value]) => [name, name === 'etag' ? String(value).replace(/^W\//, '') : value])
  const { steps, callbacks, errors, isCut } = seen
  // How much of an answer that is cut off arrives is a matter of time.
  if (isCut || !isComplete) return { steps, isCut, isComplete: isCut || isComplete }
  const answer = { status, message, headers: Object.fromEntries(strong), trailers }
  const sent = { length: body.length, body: body.toString('base64').slice(0, 200), isReused: isKeptOpen || isReused }
  return { ...answer, ...sent, steps, callbacks: early(callbacks), errors: early(errors) }
}

const framing = ['content-length', 'transfer-encoding', 'accept-ranges']

/** Node writes a head that goes with a text in UTF-8, where ours may go in Latin-1, which a head is. */
function inLatin1(expected: Exchange, { headers: given }: Exchange): Exchange {
  const decode = (value: unknown) => (typeof value === 'string' ? Buffer.from(value, 'latin1').toString() : value)
  const headers = Object.entries(expected.headers).map(([name, value]) =>
    decode(value) === given[name] ? [name, given[name]] : [name, value],
  )
  return { ...expected, headers: Object.fromEntries(headers) }
}

/** Node reports a write after the end only while the answer is not sent, and a compressed one takes longer. */
function early(reports: readonly string[]): string[] {
  const same = reports.map((report) => report.replace('ERR_STREAM_ALREADY_FINISHED', 'done'))
  return [...new Set(same)].filter((report) => !report.includes('ERR_STREAM_WRITE_AFTER_END')).sort()
}

/**
 * Over HTTP/2 a write after the end cuts the answer off, unless that is sent already, which is a matter of time: a program ends
 * with the first call that could be one, or that leaves time for one.
 */
function untilClosed(program: readonly Step[]): readonly Step[] {
  const end = program.findIndex(({ call }) => call === 'end' || call === 'pipe')
  if (end === -1) return program
  // The response is ended after the last step, unless that is a pipe: what an earlier pipe writes would come after the end.
  if (program[end]?.call === 'pipe') return program.slice(0, end + 1)
  const late = program.findIndex(({ call }, at) => at > end && lateCalls.has(call))
  return program.slice(0, late === -1 ? undefined : late)
}

const lateCalls: ReadonlySet<string> = new Set(['wait', 'turn', 'write', 'end', 'pipe'])

const monitor = new PerformanceMonitor({ sampleInterval: false })
const cache = createCache({ memory: { maxEntries: 10 } }) as unknown as Cache
afterAll(async () => {
  await monitor.close()
  await cache.close()
})
const monitoring = monitorRequests(monitor) as unknown as Wrap
const compressing = compressResponses() as unknown as Wrap
/** Peers ask for the same paths, and HTTP/1.0 without a host. */
const caching = (peer: string) => cacheResponses(cache, { key: () => [peer] }) as unknown as Wrap
const wraps: Readonly<Record<string, (peer: string) => Wrap>> = {
  compressResponses: () => compressing,
  cacheResponses: caching,
  monitorRequests: () => monitoring,
  'all three': (peer) => {
    const cachingPeer = caching(peer)
    return (request, response, next) =>
      monitoring(request, response, () => compressing(request, response, () => cachingPeer(request, response, next)))
  },
}

describe.each(['1.1', '1.0', '2'] as const)('random programs over HTTP/%s', (version) => {
  describe.each(Object.entries(wraps))('behind %s', (name, wrap) => {
    let plain: Peer
    let wrapped: Peer
    beforeAll(async () => {
      plain = await startPeer(version, (_request, _response, next) => next())
      wrapped = await startPeer(version, wrap(`${version} ${name}`))
    })
    afterAll(async () => {
      await plain.close()
      await wrapped.close()
    })

    it('differ from plain Node in the coding alone', async () => {
      await fc.assert(
        fc.asyncProperty(programs, async (drawn) => {
          const program = version === '2' ? untilClosed(drawn) : drawn
          const given = await wrapped.run(program)
          const expected = inLatin1(await plain.run(program), given)
          // A client of HTTP/1.0 does not know the chunks that a handler sends on its own account.
          if (version === '1.0' && 'transfer-encoding' in expected.headers) return
          expect(comparable(given, given, version)).toEqual(comparable(expected, given, version))
        }),
        { numRuns: runs, seed, endOnFailure: process.env.SHRINK === undefined, interruptAfterTimeLimit: 1_000_000 },
      )
    }, 3_600_000)
  })
})
