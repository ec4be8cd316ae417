import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { listQuery } from 'posthaste'
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
