import assert from 'node:assert/strict'
import { Hono } from 'hono'
import { createCache } from 'posthaste'
import { cacheResponses } from 'posthaste/hono'
import { test } from './suite.ts'

// As programs have them: made when the module is loaded, and used by every request.
const cache = createCache({ name: 'module', profiles: { short: '1m', renewed: { ttl: '1ms', stale: '1m' } } })
const responses = createCache({ name: 'responses' })

test('stores values, and returns them as they went in', async () => {
  let loads = 0
  const load = () => ({ at: new Date(5), map: new Map([['a', 1n]]), bytes: new Uint8Array([1, 2]), loads: ++loads })
  const first = await cache.getOrSet(['value', 1], load, { profile: 'short', tags: ['values'] })
  assert.deepEqual(await cache.getOrSet(['value', 1], load), first)
  await cache.invalidateTags('values')
  assert.equal((await cache.getOrSet(['value', 1], load)).loads, 2)
})

test('shares a failing load, and does not store its error', async () => {
  await assert.rejects(
    cache.getOrSet('broken', () => Promise.reject(new Error('no answer'))),
    /no answer/,
  )
  assert.equal(await cache.getOrSet('broken', () => 5), 5)
})

test('ends a load that takes too long', async () => {
  const impatient = createCache({ name: 'impatient', timeouts: { loadHard: '30ms' } })
  const error = await impatient.getOrSet('slow', () => new Promise(() => {})).catch((reason: unknown) => reason)
  assert.equal((error as { code?: unknown }).code, 'ERR_LOAD_TIMEOUT')
  await impatient.close()
})

test('loads many keys at once', async () => {
  const asked: number[][] = []
  const load = async (ids: readonly number[]) => {
    asked.push([...ids])
    return new Map(ids.map((id) => [id, id * 2]))
  }
  const values = await cache.getOrSetMany([1, 2, 3], load, { key: (id) => ['double', id] })
  assert.deepEqual([...values.values()], [2, 4, 6])
  await cache.getOrSetMany([2, 3, 4], load, { key: (id) => ['double', id] })
  assert.deepEqual(asked, [[1, 2, 3], [4]])
})

test('serves a stale value while a load renews it', async () => {
  await cache.getOrSet('renewed', () => 'old', { profile: 'renewed' })
  await new Promise((resolve) => setTimeout(resolve, 20))
  const loading = Promise.withResolvers<void>()
  const load = () => {
    loading.resolve()
    return 'new'
  }
  assert.equal(await cache.getOrSet('renewed', load, { profile: 'renewed' }), 'old')
  await loading.promise
})

test('answers 20 requests at once for one key, each with its value', async ({ serve, name }) => {
  let loads = 0
  const app = new Hono().get('/value/:key', async (c) => {
    const value = await cache.getOrSet(
      ['request', c.req.param('key')],
      async ({ signal }) => {
        loads++
        await new Promise((resolve, reject) => {
          setTimeout(resolve, 30)
          signal.addEventListener('abort', () => reject(signal.reason))
        })
        return 'loaded'
      },
      { signal: c.req.raw.signal },
    )
    return c.text(value)
  })
  const server = await serve(app)
  try {
    for (const round of [1, 2]) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => server.fetch('/value/a')))
      const texts = await Promise.all(answers.map((answer) => answer.text()))
      assert.deepEqual(
        texts,
        Array.from({ length: 20 }, () => 'loaded'),
        `round ${round}`,
      )
    }
    if (name !== 'workers') assert.equal(loads, 1)
  } finally {
    await server.close()
  }
})

test('goes on after a request that left in the middle of its load', async ({ serve }) => {
  const app = new Hono().get('/left/:ms', async (c) => {
    const load = () => new Promise<string>((resolve) => setTimeout(resolve, Number(c.req.param('ms')), 'loaded'))
    // The request ends without waiting for its load.
    void cache.getOrSet('left', load).catch(() => {})
    const value = c.req.param('ms') === '60000' ? 'not waited' : await cache.getOrSet('left', load, { fresh: true })
    return c.text(value)
  })
  const server = await serve(app)
  try {
    assert.equal(await (await server.fetch('/left/60000')).text(), 'not waited')
    assert.equal(await (await server.fetch('/left/5')).text(), 'loaded')
  } finally {
    await server.close()
  }
})

test('caches responses, with 304 for a client that has them', async ({ serve }) => {
  let renders = 0
  const app = new Hono()
  app.get('/page', cacheResponses(responses, { ttl: '1m', tags: ['pages'] }), (c) => c.json({ renders: ++renders }))
  const server = await serve(app)
  try {
    const first = await server.fetch('/page')
    assert.deepEqual(await first.json(), { renders: 1 })
    const second = await server.fetch('/page')
    assert.deepEqual(await second.json(), { renders: 1 })
    assert.match(second.headers.get('cache-status') ?? '', /hit/)
    const etag = second.headers.get('etag') ?? ''
    assert.equal((await server.fetch('/page', { headers: { 'if-none-match': etag } })).status, 304)
    await responses.invalidateTags('pages')
    assert.deepEqual(await (await server.fetch('/page')).json(), { renders: 2 })
    const many = await Promise.all(Array.from({ length: 20 }, () => server.fetch('/page')))
    assert.deepEqual([...new Set(many.map(({ status }) => status))], [200])
  } finally {
    await server.close()
  }
})

test('answers 20 requests at once for a page that is not cached yet', async ({ serve }) => {
  const app = new Hono()
  app.get('/slow', cacheResponses(responses, { ttl: '1m' }), async (c) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return c.text('rendered')
  })
  const server = await serve(app)
  try {
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.fetch('/slow')))
    assert.deepEqual([...new Set(await Promise.all(answers.map((answer) => answer.text())))], ['rendered'])
  } finally {
    await server.close()
  }
})
