import { setTimeout as sleep } from 'node:timers/promises'
import { Hono, type MiddlewareHandler } from 'hono'
import { createCache } from 'posthaste'
import { cacheResponses, compressResponses, freshness } from 'posthaste/hono'
import { expect, it, onTestFinished } from 'vitest'

/** A body whose source fails after some pieces, as that of an upstream whose connection breaks. */
function brokenBody(pieces: number, size: number, failsAfterMs: number): ReadableStream {
  let given = 0
  return new ReadableStream({
    async pull(controller) {
      if (given++ < pieces) return controller.enqueue(Buffer.alloc(size, 'piece '))
      if (failsAfterMs > 0) await sleep(failsAfterMs)
      throw new Error('upstream broke')
    },
  })
}

const tags = { tags: ['table:users'] as const }
const features: Readonly<Record<string, () => MiddlewareHandler>> = {
  compressResponses: () => compressResponses(),
  cacheResponses: () => cacheResponses(createCache(), tags),
  freshness: () => freshness(createCache(), tags),
}
const bodies = [0, 1, 2, 3, 5].flatMap((pieces) =>
  [10, 600_000, 1_100_000].flatMap((size) => [0, 2].map((failsAfterMs) => [pieces, size, failsAfterMs] as const)),
)

it.each(Object.entries(features))('%s tells the client alone of a body that breaks', async (_name, create) => {
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))

  const outcomes: unknown[] = []
  for (const body of bodies) {
    const app = new Hono()
    app.use(create())
    app.get('/', () => new Response(brokenBody(...body), { headers: { 'content-type': 'text/plain' } }))
    app.onError((error) => new Response(error.message, { status: 500 }))
    const answer = await app.request('/', { headers: { 'accept-encoding': 'gzip' } })
    // A client that is slower than the source.
    await sleep(10)
    const text = await answer.text().catch((error: Error) => error.message)
    outcomes.push([body, text])
  }

  expect(outcomes).toEqual(bodies.map((body) => [body, 'upstream broke']))
  expect(unhandled).toEqual([])
})

it('`cache.http` tells all that wait of a body that breaks, even if the request has no signal', async () => {
  /** As a request of a server's own class, for which the getters of the runtime's `Request` throw. */
  const request: Request = Object.create(Request.prototype, {
    url: { value: 'http://a/' },
    method: { value: 'GET' },
    headers: { value: new Headers() },
  })
  let runs = 0
  const handler = createCache().http(() => new Response(++runs === 1 ? brokenBody(2, 10, 5) : 'whole'))
  const texts = [handler(request), handler(request)].map(async (answer) => (await answer).text())
  const outcomes = await Promise.allSettled(texts)
  expect(outcomes).toMatchObject([{ reason: { message: 'upstream broke' } }, { value: 'whole' }])
})
