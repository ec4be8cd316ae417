import { createCache, createCompressor, tags } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { expectTypeOf, it } from 'vitest'

const cache = createCache({ profiles: { users: '5m' }, tags: tags<'users' | `user:${number}`>() })
const untagged = createCache()

it('types profiles, tags and options', () => {
  onExpress.cacheResponses(cache, { profile: 'users', tags: ['users', 'user:5', 'table:users'], query: 'all' })
  onHono.cacheResponses(cache, { tags: (c) => [`user:${Number(c.req.param('id'))}`] })
  expectTypeOf(cache.http(() => new Response())).toEqualTypeOf<(request: Request) => Promise<Response>>()
  onExpress.cacheResponses(cache, { profile: 'default' })
  // @ts-expect-error -- no such profile
  onExpress.cacheResponses(cache, { profile: 'user' })
  // @ts-expect-error -- no such tag
  onHono.cacheResponses(cache, { tags: ['user'] })
  // @ts-expect-error -- no such tag
  cache.http(() => new Response(), { tags: ['nobody'] })
  // @ts-expect-error -- no such tag
  onExpress.freshness(cache, { tags: ['user'] })
  // @ts-expect-error -- no such tag
  onHono.freshness(cache, { tags: () => ['user'] })
  // @ts-expect-error -- no such tag
  onFastify.freshness(cache, { tags: ['user'] })
  onExpress.freshness(cache, { tags: ['user:5', 'table:users'] })
  onHono.freshness(cache, { tags: (c) => [`user:${Number(c.req.param('id'))}`] })
  onFastify.freshness(untagged, { tags: ['anything'] })
  // @ts-expect-error -- a duration has a unit
  cache.http(() => new Response(), { ttl: 60 })
  onExpress.cacheResponses(cache, { ignoreHeaders: ['cf-*'], onWarn: ({ code }) => void code })
  onExpress.compressResponses({
    types: (type) => type === 'x',
    filter: (request, response) => response.hasHeader(request.path),
  })
  onHono.compressResponses({ filter: (c, response) => c.req.path === response.url })
  // @ts-expect-error -- a filter answers yes or no
  onExpress.compressResponses({ filter: () => 'yes' })
  // @ts-expect-error -- a list of names
  onExpress.cacheResponses(cache, { ignoreHeaders: 'cf-*' })
  // @ts-expect-error -- no such coding
  createCompressor({ encodings: ['deflate'] })
})
