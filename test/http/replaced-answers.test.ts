import { isDeepStrictEqual } from 'node:util'
import zlib from 'node:zlib'
import { createAdaptorServer } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import { every } from 'hono/combine'
import { HTTPException } from 'hono/http-exception'
import { createCache } from 'posthaste'
import { cacheResponses, compressResponses } from 'posthaste/hono'
import { describe, expect, it } from 'vitest'

const page = 'page '.repeat(1_000)

/** Middleware whose client gets the body of the answer, whatever it does to the response. */
const passing: Readonly<Record<string, MiddlewareHandler>> = {
  'does nothing': (_c, next) => next(),
  'passes the body on': async (c, next) => {
    await next()
    c.res = new Response(c.res.body, c.res)
  },
  'passes the body on with headers of its own': async (c, next) => {
    await next()
    c.res = new Response(c.res.body, { headers: { 'x-own': '1' } })
  },
  'passes the body through': async (c, next) => {
    await next()
    c.res = new Response(c.res.body?.pipeThrough(new TransformStream()), c.res)
  },
  'reads the body and passes it on': async (c, next) => {
    await next()
    c.res = new Response(await c.res.arrayBuffer(), c.res)
  },
  'reads a copy': async (c, next) => {
    await next()
    await c.res.clone().arrayBuffer()
  },
  'leaves a copy unread': async (c, next) => {
    await next()
    c.res.clone()
  },
  'passes a copy on': async (c, next) => {
    await next()
    c.res = c.res.clone()
  },
  'adds a header': async (c, next) => {
    await next()
    c.header('x-own', '1')
  },
  'is of `every`': every((_c, next) => next()),
}

/** Middleware whose client gets something else. */
const replacing: Readonly<Record<string, MiddlewareHandler>> = {
  'gives another text': async (c, next) => {
    await next()
    c.res = c.text('other')
  },
  'gives another body and keeps the headers': async (c, next) => {
    await next()
    c.res = new Response('other', c.res)
  },
  redirects: async (c, next) => {
    await next()
    c.res = c.redirect('/other')
  },
  'gives no body': async (c, next) => {
    await next()
    c.res = new Response(null, { status: 204 })
  },
  fails: async (_c, next) => {
    await next()
    throw new HTTPException(500, { message: 'other' })
  },
}

async function answerOf(path: string, layers: readonly MiddlewareHandler[]) {
  const app = new Hono()
  app.get('/:id', ...(layers as [MiddlewareHandler]), (c) => c.text(page))
  const answer = await app.request(path, { headers: { 'accept-encoding': 'gzip' } })
  const bytes = Buffer.from(await answer.arrayBuffer())
  const body = String(answer.headers.get('content-encoding') === 'gzip' ? zlib.gunzipSync(bytes) : bytes)
  const length = answer.headers.get('content-length')
  return { status: answer.status, body, isWhole: length === null || length === String(bytes.length) }
}

const around = Object.entries({ 'does nothing': passing['does nothing'] as MiddlewareHandler, ...replacing })

const responses: Readonly<Record<string, () => void>> = {
  'responses of Node': () => {},
  // It puts a class of its own in the place of `Response`.
  'responses of `@hono/node-server`': () => void createAdaptorServer({ fetch: () => new Response() }),
}

describe.each(Object.entries(responses))('with %s', (_whose, install) => {
  it.each(around)('sends a body as its head says when middleware around others %s', async (_what, outermost) => {
    install()
    const faults: string[] = []
    for (const [first, outer] of Object.entries(passing)) {
      for (const [second, inner] of Object.entries(passing)) {
        const { status, body } = await answerOf('/1', [outermost, outer, inner])
        const compressed = compressResponses()
        for (const layer of [compressed, cacheResponses(createCache())]) {
          for (const path of ['/1', '/1', '/1?x=1']) {
            const answer = await answerOf(path, [outermost, outer, inner, layer]).catch(String)
            const isAsWithout = isDeepStrictEqual(answer, { status, body, isWhole: true })
            if (!isAsWithout)
              faults.push(`${first}, ${second}, ${layer === compressed ? 'compressed' : 'cached'}, ${path}`)
          }
        }
      }
    }
    expect(faults).toEqual([])
  })
})
