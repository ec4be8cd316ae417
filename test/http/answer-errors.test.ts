import { runInNewContext } from 'node:vm'
import fastify from 'fastify'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { listQuery } from 'posthaste'
import { answerErrors as answerFastifyErrors } from 'posthaste/fastify'
import { answerErrors } from 'posthaste/hono'
import { describe, expect, it } from 'vitest'

describe('`answerErrors` on Hono', () => {
  it('keeps the headers that middleware set before the error', async () => {
    const app = new Hono()
    app.onError(answerErrors())
    app.use(async (c, next) => {
      c.header('x-request-id', 'one')
      await next()
    })
    app.get('/teapot', () => {
      throw new HTTPException(418, { res: new Response('short', { status: 418, headers: { 'x-own': 'two' } }) })
    })
    app.get('/bad', (c) => c.json(listQuery({}).parse('page=0').page))
    const answers = await Promise.all(['/teapot', '/bad'].map((path) => app.request(path)))
    const seen = answers.map(({ status, headers }) => [status, headers.get('x-request-id'), headers.get('x-own')])
    expect(seen).toEqual([
      [418, 'one', 'two'],
      [400, 'one', null],
    ])
    expect(answers[1]?.headers.get('content-type')).toBe('application/problem+json')
  })

  it('gives every other error to the handler that it was given', async () => {
    const app = new Hono()
    app.onError(answerErrors((error, c) => c.text(`own: ${error.message}`, 500)))
    app.get('/teapot', () => {
      throw new HTTPException(418, { message: 'short and stout' })
    })
    app.get('/bad', (c) => c.json(listQuery({}).parse('page=0').page))
    const [teapot, bad] = await Promise.all([app.request('/teapot'), app.request('/bad')])
    expect([teapot.status, await teapot.text(), bad.status]).toEqual([500, 'own: short and stout', 400])
    expect(() => answerErrors(new Error('not called') as never)).toThrow('Expected `otherwise` to be a function')
  })
})

describe('`answerErrors` on Fastify', () => {
  const thrown: Record<string, unknown> = {
    text: 'text',
    null: null,
    undefined: undefined,
    object: { message: 'own' },
    'error of another realm': runInNewContext('new TypeError("other")'),
    error: new Error('usual'),
  }
  it.each(Object.keys(thrown))('leaves what is thrown to the handler of the parent: %s', async (what) => {
    const statuses: number[] = []
    for (const isOurs of [false, true]) {
      const app = fastify()
      const seen: unknown[] = []
      app.setErrorHandler((error, _request, reply) => {
        seen.push(error)
        return reply.code(503).send('parent')
      })
      await app.register(async (child) => {
        if (isOurs) child.setErrorHandler(answerFastifyErrors())
        child.get('/', () => {
          throw thrown[what]
        })
      })
      const { statusCode } = await app.inject('/')
      statuses.push(statusCode)
      expect(seen).toEqual([thrown[what]])
      await app.close()
    }
    expect(statuses).toEqual([503, 503])
  })

  it.each(Object.keys(thrown))('answers 500 without another handler: %s', async (what) => {
    const app = fastify().setErrorHandler(answerFastifyErrors())
    app.get('/', async () => {
      throw thrown[what]
    })
    expect((await app.inject('/')).statusCode).toBe(500)
    await app.close()
  })
})
