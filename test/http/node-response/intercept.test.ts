import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { type Interceptor, intercept, type WholeChange } from '../../../src/http/node-response/intercept.ts'
import { beforeHead } from '../../../src/http/node-response/response-head.ts'
import { listen } from '../../support/listen.ts'

async function open(port: number): Promise<IncomingMessage> {
  const [response] = await once(get({ host: '127.0.0.1', port, agent: false }), 'response')
  return response
}

/** The answer of a handler: status, message, headers but those of every answer, and body. */
async function answerOf(handler: (response: ServerResponse) => void): Promise<unknown[]> {
  const response = await open(await listen(createServer((_request, response) => handler(response))))
  const { date, connection, 'content-length': length, 'transfer-encoding': transfer, ...headers } = response.headers
  return [response.statusCode, response.statusMessage, headers, await text(response)]
}

const noChange = { set: {}, remove: [] }
const asItIs: Interceptor = {
  whole: () => ({ ...noChange, body: undefined }),
  pieces: () => ({ ...noChange, encoder: new PassThrough() }),
}

describe.each<[form: string, args: readonly unknown[]]>([
  ['the status', [201]],
  ['a message', [201, 'Made']],
  ['headers', [201, { 'X-A': '1', 'x-list': ['1', '2'] }]],
  ['a message and headers', [201, 'Made', { 'x-a': '1' }]],
  ['no message and headers', [201, undefined, { 'x-a': '1' }]],
  ['headers twice', [201, { 'x-a': '1' }, { 'x-b': '1' }]],
  ['a flat list', [201, ['x-a', '1', 'x-b', '2', 'x-a', '3']]],
])('`writeHead` with %s', (_form, args) => {
  const answer = (response: ServerResponse) => {
    response.setHeader('x-a', '0')
    response.writeHead(...(args as [number]))
    response.end('body')
  }

  it('says what it says to Node', async () => {
    const expected = await answerOf(answer)
    for (const wrap of [
      (response: ServerResponse) => intercept(response, asItIs),
      (response: ServerResponse) => beforeHead(response, () => noChange),
    ]) {
      const given = await answerOf((response) => {
        wrap(response)
        answer(response)
      })
      expect(given).toEqual(expected)
    }
  })
})

it('changes a head once, and refuses to write it again, as Node does', async () => {
  let changes = 0
  const answer = await answerOf((response) => {
    beforeHead(response, () => {
      changes++
      return { set: { 'x-changed': '1' }, remove: [] }
    })
    response.writeHead(200)
    expect(() => response.writeHead(500)).toThrow(expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' }))
    response.end('body')
  })
  expect(answer).toEqual([200, 'OK', { 'x-changed': '1' }, 'body'])
  expect(changes).toBe(1)
})

describe.each<[form: string, end: (response: ServerResponse, done: () => void) => void, body: string]>([
  ['a function', (response, done) => response.end(done), ''],
  ['a text and a function', (response, done) => response.end('ä', done), 'ä'],
  ['a text, its encoding and a function', (response, done) => response.end('w6Q=', 'base64', done), 'ä'],
  ['a text in UTF-8', (response, done) => response.once('finish', done).end('ä', 'utf-8'), 'ä'],
  ['no text, but a function', (response, done) => response.end(null, done), ''],
  ['bytes', (response, done) => response.once('finish', done).end(new Uint8Array([0xc3, 0xa4])), 'ä'],
])('`end` with %s', (_form, end, body) => {
  it.each(['whole', 'in pieces'])('sends the answer %s, and calls the function when it is sent', async (how) => {
    let isDone = false
    const [, , , received] = await answerOf((response) => {
      intercept(response, asItIs)
      if (how === 'in pieces') response.write('first ')
      end(response, () => {
        isDone = true
      })
    })
    expect(received).toBe(how === 'whole' ? body : `first ${body}`)
    expect(isDone).toBe(true)
  })
})

describe('while what becomes of an answer is promised', () => {
  it('takes nothing more from the handler, and sends the status that it ended with', async () => {
    const { promise, resolve } = Promise.withResolvers<WholeChange>()
    const answer = await answerOf((response) => {
      intercept(response, { ...asItIs, whole: () => promise })
      response.statusCode = 201
      response.end('first')
      expect(response.headersSent).toBe(true)
      response.statusCode = 500
      expect(response.write('second')).toBe(false)
      expect(response.end('third')).toBe(response)
      resolve({ ...noChange, body: Buffer.from('promised') })
    })
    expect(answer).toEqual([201, 'Created', {}, 'promised'])
  })

  it('sends nothing when the client has left meanwhile', async () => {
    const { promise, resolve } = Promise.withResolvers<WholeChange>()
    const responses = Promise.withResolvers<ServerResponse>()
    const errors: unknown[] = []
    const port = await listen(
      createServer((_request, response) => {
        intercept(response, { ...asItIs, whole: () => promise })
        response.on('error', (error) => errors.push(error))
        response.end('body')
        responses.resolve(response)
      }),
    )
    const request = get({ host: '127.0.0.1', port, agent: false }).on('error', () => {})
    const response = await responses.promise
    const closed = once(response, 'close')
    request.destroy()
    await closed
    resolve({ ...noChange, body: Buffer.from('promised') })
    await promise
    await new Promise(setImmediate)
    expect(errors).toEqual([])
  })

  it('breaks the connection off when the promise fails', async () => {
    const port = await listen(
      createServer((_request, response) => {
        intercept(response, { ...asItIs, whole: () => Promise.reject(new Error('broken')) })
        response.end('body')
      }),
    )
    await expect(open(port)).rejects.toThrow('socket hang up')
  })
})
