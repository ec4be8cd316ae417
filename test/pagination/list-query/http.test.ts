import type { AddressInfo } from 'node:net'
import express from 'express'
import express4 from 'express4'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { validator } from 'hono/validator'
import { flag, int, listQuery, manyOf, oneOf } from 'posthaste'
import { afterAll, describe, expect, it } from 'vitest'

const users = listQuery({
  sort: { name: 'users.name' },
  filter: { role: oneOf('admin', 'user'), tags: manyOf('vip', 'new'), active_only: flag(), team: int({ min: 1 }) },
})

const good = '/users?page=2&per_page=5&sort=-name&role=admin&tags=vip&tags=new&active_only=1&team=7'
const parsed = users.parse(good)
const bad = ['/users?page=1e3', '/users?page=0x10', '/users?role=root', '/users?page=1&page=2', '/users?page[]=1']

/** Names that some parsers read as lists and objects. */
const bracketed = listQuery({
  names: { page: 'page[number]', perPage: 'page[size]' },
  filter: { 'filter[status]': oneOf('on', 'off'), 'filter[tags]': manyOf('x', 'y'), 'ids[]': manyOf('7', '8') },
})

type Ask = (path: string) => Promise<{ status: number; body: unknown }>

const closing: (() => unknown)[] = []
afterAll(() => Promise.all(closing.map((close) => close())))

async function answer(response: Response): Promise<{ status: number; body: unknown }> {
  const text = await response.text()
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}

function expressServer(make: typeof express): Ask {
  const app = make()
  app.get('/users', (request, response) => {
    response.json(users.parse(request.query))
  })
  app.get('/bracketed', (request, response) => {
    response.json(bracketed.parse(request.query))
  })
  // The framework's own answer to an error, without its line to the console.
  app.set('env', 'test')
  const server = app.listen(0)
  closing.push(() => server.close())
  return async (path) => answer(await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`))
}

function fastifyServer(withSchema: boolean): Ask {
  const app = Fastify({ ajv: { customOptions: { allowUnionTypes: true } } })
  const schema = withSchema ? { schema: { querystring: users.jsonSchema() } } : {}
  app.get('/users', schema, (request) => users.parse(request.query))
  const bracketedSchema = withSchema ? { schema: { querystring: bracketed.jsonSchema() } } : {}
  app.get('/bracketed', bracketedSchema, (request) => bracketed.parse(request.query))
  closing.push(() => app.close())
  return async (path) => {
    const response = await app.inject(path)
    return { status: response.statusCode, body: response.json() }
  }
}

function honoServer(handle: (app: Hono) => void): Ask {
  const app = new Hono()
  handle(app)
  return async (path) => answer(await app.request(path))
}

const servers: Record<string, () => Ask> = {
  'Express 5': () => expressServer(express),
  'Express 4, whose parser makes lists and objects': () => expressServer(express4 as unknown as typeof express),
  Fastify: () => fastifyServer(false),
  'Fastify, with the schema before the handler': () => fastifyServer(true),
  Hono: () =>
    honoServer((app) => {
      app.get('/users', (c) => c.json(users.parse(c.req.raw)))
      app.get('/bracketed', (c) => c.json(bracketed.parse(c.req.raw)))
    }),
  'Hono, as a Standard Schema in its validator': () =>
    honoServer((app) => {
      for (const [path, list] of [
        ['/users', users],
        ['/bracketed', bracketed],
      ] as const) {
        const query = validator('query', (value, c) => {
          const result = list['~standard'].validate(value)
          return result.issues ? c.json(result.issues, 400) : result.value
        })
        app.get(path, query, (c) => c.json(c.req.valid('query')))
      }
    }),
}

it.each(['ignore', 'reject'] as const)(
  'Fastify answers in our words with `attachValidation`, unknown names: %s',
  async (unknown) => {
    const list = listQuery({
      sort: { name: 'users.name', id: 'users.id' },
      defaultSort: '-id',
      filter: { role: oneOf('admin', 'user') },
      unknown,
    })
    const app = Fastify({ ajv: { customOptions: { allowUnionTypes: true } } })
    const schema = { querystring: list.jsonSchema() }
    app.get('/documented', { schema, attachValidation: true }, (request) => list.parse(request.query))
    app.get('/strict', { schema }, (request) => list.parse(request.query))
    closing.push(() => app.close())
    const messages = {
      'page=1e3': "Expected `page` to be a whole number from 1 to 2147483647, got `'1e3'` (string)",
      'page[]=2': 'Expected `page` to be a whole number from 1 to 2147483647, got `page[]`',
      'role[]=admin': "Expected `role` to be one of 'admin', 'user', got `role[]`",
      'page=2&after=x': 'Expected either `page` or a cursor, got both',
    }
    for (const [query, message] of Object.entries(messages)) {
      const response = await app.inject(`/documented?${query}`)
      expect(response.json()).toMatchObject({ statusCode: 400, message })
      expect((await app.inject(`/strict?${query}`)).statusCode).toBe(400)
    }
    const lists = ['sort[]=name&sort[]=-id', 'sort=name&sort=-id', 'sort=name,-id', 'sort[]=name']
    for (const query of ['', 'sort=', 'sort[]=', 'sort=name', ...lists]) {
      for (const path of ['/documented', '/strict']) {
        const response = await app.inject(`${path}?${query}`)
        expect(response.json().by).toEqual(list.parse(query).by)
      }
    }
  },
)

describe.each(Object.entries(servers))('listQuery on %s', (_name, start) => {
  const ask = start()

  it('parses what the framework hands over', async () => {
    expect(await ask(good)).toEqual({ status: 200, body: JSON.parse(JSON.stringify(parsed)) })
    expect(await ask('/users')).toMatchObject({ status: 200, body: { page: 1, perPage: 10 } })
  })

  it.each(bad)('answers 400 to %s', async (path) => {
    expect((await ask(path)).status).toBe(400)
  })

  it.each([
    ['page[number]=2&page[size]=5', { page: 2, perPage: 5 }],
    ['filter[status]=off', { filter: { 'filter[status]': 'off' } }],
    ['filter[tags]=x,y', { filter: { 'filter[tags]': ['x', 'y'] } }],
    ['filter[tags]=x&filter[tags]=y', { filter: { 'filter[tags]': ['x', 'y'] } }],
    ['ids[]=7', { filter: { 'ids[]': ['7'] } }],
    ['ids[]=7&ids[]=8', { filter: { 'ids[]': ['7', '8'] } }],
  ])('finds what is declared with brackets: %s', async (query, expected) => {
    expect(await ask(`/bracketed?${query}`)).toMatchObject({ status: 200, body: expected })
  })

  it.each([
    'filter[status][]=off',
    'filter[status][0]=off',
    'filter[status][ne]=off',
    'filter[tags][x]=y',
    'page[number][]=2',
    'page[number][gt]=2',
    'ids[a]=7',
    'ids[][]=7',
    'ids=7',
  ])('never gives the whole list for a filter that it spells otherwise: %s', async (query) => {
    const { status, body } = await ask(`/bracketed?${query}`)
    const { page, filter } = body as typeof bracketed.parse extends (input: never) => infer Parsed ? Parsed : never
    // A parser that makes lists may have found what was meant.
    if (status === 200)
      expect([page !== 1, ...Object.values(filter).map((value) => value !== undefined)]).toContain(true)
    else expect(status).toBe(400)
  })
})
