import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { every } from 'hono/combine'
import { HTTPException } from 'hono/http-exception'
import { validator } from 'hono/validator'
import { createCache } from 'posthaste'
import { cacheResponses } from 'posthaste/hono'
import { afterEach, describe, expect, it } from 'vitest'

let now = 1_700_000_000_000
const clock = () => now
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** Whether the page is gone, in the second half of a test. */
let isGone = false
let version = 1

class GoneError extends Error {}

type Handler = (c: Context) => Response | Promise<Response>
type Build = (app: Hono, cached: MiddlewareHandler) => void

const layout: MiddlewareHandler = async (c, next) => {
  c.setRenderer((content) => c.html(`<main>${content}</main>`))
  await next()
}
const page: Handler = (c) => c.text(`page ${version}`)
const pageOr =
  (gone: Handler): Handler =>
  (c) =>
    isGone ? gone(c) : page(c)
const throwing =
  (error: Error): Handler =>
  () => {
    throw error
  }
const header =
  (name: string, value: string): MiddlewareHandler =>
  async (c, next) => {
    await next()
    c.header(name, value)
  }

const preparations: readonly [what: string, build: Build][] = [
  ['a renderer', (app, cached) => app.use(layout).get('/', cached, (c) => c.render(`page ${version}` as never))],
  [
    'a renderer that is set after the cache again',
    (app, cached) => app.use(layout).get('/', cached, layout, (c) => c.render(`page ${version}` as never)),
  ],
  [
    'a layout',
    (app, cached) => {
      app.use(async (c, next) => {
        c.setLayout((({ children }: { children: string }) => `<b>${children}</b>`) as never)
        await next()
      })
      app.get('/', cached, (c) => c.text(String((c.getLayout() as unknown as typeof String)({ children: version }))))
    },
  ],
  [
    'validated data',
    (app, cached) =>
      app.get(
        '/',
        validator('query', () => ({ size: 5 })),
        validator('header', () => ({ tenant: 'acme' })),
        cached,
        (c) => c.json([version, c.req.valid('query'), c.req.valid('header')]),
      ),
  ],
  [
    'a status',
    (app, cached) =>
      app.use(async (c, next) => {
        c.status(203)
        await next()
      }) && app.get('/', cached, page),
  ],
  [
    'an execution context',
    (app, cached) =>
      app.get('/', cached, (c) => {
        c.executionCtx.waitUntil(Promise.resolve())
        return page(c)
      }),
  ],
  [
    'more middleware in `every`, after the cache',
    (app, cached) =>
      app.get(
        '/',
        every(cached, async (c, next) => {
          c.set('tenant', 'acme')
          await next()
          c.header('x-frame-options', 'DENY')
        }),
        (c) => c.text(`${c.get('tenant' as never)} ${version}`),
      ),
  ],
  [
    'a function around the cache',
    (app, cached) =>
      app.get('/', async (c, next) => cached(c, () => header('x-a', '1')(c, next) as Promise<void>), page),
  ],
  ['middleware on the route', (app, cached) => app.get('/', header('x-a', '1'), cached, header('x-b', '2'), page)],
  [
    'an application with its own handler of errors',
    (app, cached) => {
      const part = new Hono()
        .onError((error, c) => c.text(error.message, 410))
        .get('/', cached, pageOr(throwing(new GoneError())))
      app.route('/', part)
    },
  ],
]

const endings: readonly [what: string, handler: Handler][] = [
  ['`c.notFound()`', (c) => c.notFound() as Response],
  ['an HTTPException of 404', throwing(new HTTPException(404, { message: 'gone' }))],
  ['an HTTPException of 403', throwing(new HTTPException(403, { message: 'forbidden' }))],
  ['an error that the application answers with 404', throwing(new GoneError('gone'))],
  [
    'an error behind middleware that goes on',
    async (c) => {
      try {
        return await (c.notFound() as Promise<Response>)
      } catch {
        return c.text('taken for a page')
      }
    },
  ],
]

async function start(build: Build, notFound?: Handler) {
  const cache = createCache({ profiles: { default: { ttl: '1m', stale: '10m', jitter: 0 } }, clock })
  closing.push(() => cache.close())
  const errors: Error[] = []
  const make = (cached: MiddlewareHandler) => {
    const app = new Hono()
    app.onError((error, c) => {
      errors.push(error)
      if (error instanceof HTTPException) return error.getResponse()
      return error instanceof GoneError ? c.text('gone', 404) : c.text('failed', 500)
    })
    if (notFound !== undefined) app.notFound(notFound)
    build(app, cached)
    const context = { waitUntil() {}, passThroughOnException() {}, props: {} }
    return async () => {
      const response = await app.request('/', {}, {}, context as never)
      const {
        'cache-status': cacheStatus,
        age: _age,
        date: _date,
        etag: _etag,
        ...headers
      } = Object.fromEntries(response.headers)
      delete headers['content-length']
      // Its server replaces the `Response` that writes it without a space.
      headers['content-type'] = headers['content-type']?.replace('; ', ';') ?? 'none'
      delete headers.vary
      return { answer: { status: response.status, headers, body: await response.text() }, cacheStatus }
    }
  }
  isGone = false
  version = 1
  const plain = make((_c, next) => next())
  return { plain, cached: make(cacheResponses(cache, { clock })), errors }
}

describe('a stale answer on Hono', () => {
  it.each(preparations)('is renewed with %s as without the cache', async (_what, build) => {
    const { plain, cached } = await start(build)
    const old = (await plain()).answer
    expect((await cached()).answer).toEqual(old)
    for (let round = 2; round < 4; round++) {
      now += 90_000
      version = round
      const fresh = (await plain()).answer
      expect(fresh).not.toEqual(old)
      await cached()
      await expect.poll(async () => (await cached()).answer).toEqual(fresh)
      expect((await cached()).cacheStatus).toBe('posthaste; hit')
    }
  })

  it.each(preparations)('is renewed with %s when requests are rare', async (_what, build) => {
    const { plain, cached } = await start(build)
    await cached()
    now += 90_000
    version = 2
    await cached()
    await new Promise((resolve) => setTimeout(resolve, 20))
    now += 30_000
    expect((await cached()).answer).toEqual((await plain()).answer)
  })

  it.each(endings)('is dropped when the handler gives %s', async (_what, gone) => {
    const { plain, cached, errors } = await start((app, cached) => app.get('/', cached, pageOr(gone)))
    await cached()
    isGone = true
    now += 90_000
    await cached()
    const fresh = await plain()
    errors.length = 0
    await expect.poll(async () => (await cached()).answer).toEqual(fresh.answer)
    expect((await cached()).cacheStatus).toMatch(/^posthaste; fwd=miss/)
    expect(errors.length > 0).toBe(gone === endings[1]?.[1] || gone === endings[2]?.[1] || gone === endings[3]?.[1])
  })

  it('becomes what the application answers for a page that is not found', async () => {
    const build: Build = (app, cached) =>
      app.get(
        '/',
        cached,
        pageOr((c) => c.notFound() as Response),
      )
    const { cached } = await start(build, (c) => c.text('start page', 200, { 'x-fallback': '1' }))
    await cached()
    isGone = true
    now += 90_000
    await cached()
    await expect.poll(async () => (await cached()).answer.body).toBe('start page')
    expect(await cached()).toMatchObject({ answer: { headers: { 'x-fallback': '1' } }, cacheStatus: 'posthaste; hit' })
  })

  it('is kept when the handler throws what the application answers with 500', async () => {
    const { cached, errors } = await start((app, cached) => app.get('/', cached, pageOr(throwing(new Error('down')))))
    await cached()
    isGone = true
    now += 90_000
    for (let round = 0; round < 4; round++) {
      expect((await cached()).answer.body).toBe('page 1')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(errors.map(({ message }) => message)).toContain('down')
    isGone = false
    version = 2
    now += 30_000
    await cached()
    await expect.poll(async () => (await cached()).answer.body).toBe('page 2')
  })

  it('is still served at once where the handler can run in the background', async () => {
    const { cached } = await start((app, cached) => app.get('/', cached, header('x-a', '1'), page))
    await cached()
    now += 90_000
    version = 2
    expect((await cached()).answer.body).toBe('page 1')
    await expect.poll(async () => (await cached()).answer.body).toBe('page 2')
  })
})
