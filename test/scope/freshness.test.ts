import { Kysely, SqliteDialect, sql } from 'kysely'
import { createCache, instrument, nodeSqlite, PerformanceMonitor, type Warning } from 'posthaste'
import * as onExpress from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createFreshness } from '../../src/http/freshness/freshness.ts'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { type AppOptions, apps, type Exchange } from './support/apps.ts'
import { createTables, type Tables } from './support/crm.ts'
import { pick, randomFrom } from './support/random.ts'

const stores = ['memory', ...(services.redis ? ['redis'] : []), 'keyv'] as const

describe.each(Object.keys(apps))('`freshness` on %s', (name) => {
  async function start(options: Partial<AppOptions> & { readonly store?: string } = {}) {
    const { cache, db } = await open(options.store)
    const state = { runs: 0, read: (_exchange: Exchange): Promise<unknown> => users(db) }
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    onTestFinished(() => monitor.close())
    const url = await (apps[name] as (typeof apps)[string])({
      monitor,
      cache,
      handler: async (exchange) => {
        state.runs += 1
        return state.read(exchange)
      },
      ...options,
    })
    const ask = async (headers: Record<string, string> = {}, path = '/fresh') => {
      const response = await fetch(url + path, { headers })
      return {
        status: response.status,
        etag: response.headers.get('etag'),
        headers: response.headers,
        body: await response.text(),
      }
    }
    return { cache, db, state, ask }
  }

  it.each(stores)('answers 304 without the handler until what it read is changed (%s)', async (store) => {
    const { db, state, ask } = await start({ store })
    const first = await ask()
    expect(first).toMatchObject({ status: 200, body: '[]' })
    expect(first.etag).toMatch(/^W\/".{27}"$/)
    const second = await ask({ 'if-none-match': `"other", ${first.etag}` })
    expect(second).toMatchObject({ status: 304, etag: first.etag, body: '' })
    expect(state.runs).toBe(1)
    await insert(db, 1)
    const third = await ask({ 'if-none-match': first.etag as string })
    expect(third).toMatchObject({ status: 200, body: '[{"id":1}]' })
    expect(third.etag).not.toBe(first.etag)
    expect(await ask({ 'if-none-match': third.etag as string })).toMatchObject({ status: 304 })
    await db.insertInto('orgs').values({ id: 1, writer: 0, value: 1 }).execute()
    expect(await ask({ 'if-none-match': third.etag as string })).toMatchObject({ status: 304 })
  })

  it('never hands one client the tag of another, or a tag to a request that may be personal', async () => {
    const { state, ask } = await start({ freshness: { key: true } })
    const ann = await ask({ authorization: 'ann' })
    expect(await ask({ authorization: 'ann', 'if-none-match': ann.etag as string })).toMatchObject({ status: 304 })
    const bob = await ask({ authorization: 'bob', 'if-none-match': ann.etag as string })
    expect(bob.status).toBe(200)
    expect(bob.etag).not.toBe(ann.etag)
    expect(state.runs).toBe(2)
  })

  it.each(['authorization', 'cookie', 'x-api-key', 'x-user-id', 'proxy-authorization', 'range'])(
    'leaves a request with `%s` to the handler, without a key',
    async (header) => {
      const { state, ask } = await start()
      const { etag } = await ask()
      const value = header === 'range' ? 'bytes=0-1' : 'ann'
      await ask({ [header]: value })
      const personal = await ask({ [header]: value, 'if-none-match': etag as string })
      expect(personal).toMatchObject({ status: 200, body: '[]' })
      expect(personal.etag).not.toBe(etag)
      expect(state.runs).toBe(3)
    },
  )

  it('depends on the query, on `vary`, and on what the answer says it varies on', async () => {
    const { state, ask } = await start({ freshness: { vary: ['x-tenant'], tags: ['named'] } })
    state.read = async (exchange) => {
      exchange.set('vary', 'accept-language')
      return `${exchange.header('x-tenant')} ${exchange.header('accept-language')}`
    }
    const german = { 'x-tenant': 'a', 'accept-language': 'de' }
    const { etag, headers } = await ask(german)
    expect(headers.get('vary')?.toLowerCase()).toContain('x-tenant')
    const again = await ask({ ...german, 'if-none-match': etag as string })
    expect(again.status).toBe(304)
    expect(again.headers.get('vary')?.toLowerCase()).toContain('accept-language')
    for (const other of [
      { ...german, 'x-tenant': 'b' },
      { ...german, 'accept-language': 'fr' },
    ]) {
      expect(await ask({ ...other, 'if-none-match': etag as string })).toMatchObject({ status: 200 })
    }
    expect(await ask({ ...german, 'if-none-match': etag as string }, '/fresh?page=2')).toMatchObject({ status: 200 })
  })

  it('repeats `Cache-Control` in a 304, and gives no tag to what must not be stored or sets a cookie', async () => {
    const { db, state, ask } = await start()
    state.read = (exchange) => {
      exchange.set('cache-control', 'private, no-cache')
      return users(db)
    }
    const { etag } = await ask()
    const fresh = await ask({ 'if-none-match': etag as string })
    expect([fresh.status, fresh.headers.get('cache-control')]).toEqual([304, 'private, no-cache'])
    for (const [header, value] of [
      ['set-cookie', 'a=1'],
      ['cache-control', 'no-store'],
      ['vary', '*'],
    ] as const) {
      await insert(db, state.runs)
      state.read = (exchange) => {
        exchange.set(header, value)
        return users(db)
      }
      const answer = await ask({ 'if-none-match': etag as string })
      expect(answer.etag ?? '', header).not.toMatch(/^W\/".{27}"$/)
      expect((await ask({ 'if-none-match': answer.etag ?? '"none"' })).status, header).not.toBe(304)
    }
  })

  it('has no tag for raw SQL, for an answer in pieces whose tags it must find, and for nothing read', async () => {
    const { db, state, ask } = await start()
    const isOurs = (etag: string | null) => /^W\/".{27}"$/.test(etag ?? '')
    state.read = async () => (await sql`select id from users`.execute(db)).rows
    expect(isOurs((await ask()).etag)).toBe(false)
    state.read = async () => 'nothing'
    expect(isOurs((await ask()).etag)).toBe(false)
    state.read = async () => {
      await users(db)
      return (async function* () {
        yield 'a'
        await new Promise((resolve) => setTimeout(resolve, 30))
        yield JSON.stringify(await db.selectFrom('orgs').select('id').execute())
      })()
    }
    const streamed = await ask()
    expect([streamed.body, isOurs(streamed.etag)]).toEqual(['a[]', false])
  })

  it('gives an answer in pieces a tag when the tags are named', async () => {
    const { cache, state, ask } = await start({ freshness: { tags: ['named'] } })
    state.read = async () =>
      (async function* () {
        yield 'a'
        await new Promise((resolve) => setTimeout(resolve, 30))
        yield 'b'
      })()
    await ask()
    const { etag, body } = await ask()
    expect(body).toBe('ab')
    expect(await ask({ 'if-none-match': etag as string })).toMatchObject({ status: 304 })
    await cache.invalidateTags('named')
    expect(await ask({ 'if-none-match': etag as string })).toMatchObject({ status: 200, body: 'ab' })
  })

  it('changes with what cached loads of the handler depend on', async () => {
    const { cache, db, state, ask } = await start()
    state.read = () => cache.getOrSet('users', () => users(db), { tags: 'auto' })
    await ask()
    const { etag } = await ask()
    expect(await ask({ 'if-none-match': etag as string })).toMatchObject({ status: 304 })
    await insert(db, 1)
    expect(await ask({ 'if-none-match': etag as string })).toMatchObject({ status: 200, body: '[{"id":1}]' })
  })

  it('makes no tag of a value that is served although it was invalidated', async () => {
    const { cache, db, state, ask } = await start()
    const options = { stale: '1h', tags: ['users', 'table:users'] } as const
    let renewed = Promise.resolve()
    state.read = () => cache.getOrSet('users', () => renewed.then(() => users(db)), options)
    await ask()
    const before = (await ask()).etag as string
    await db.insertInto('orgs').values({ id: 1, writer: 0, value: 1 }).execute()
    await cache.invalidateTags('users', { serveStale: true })
    let renew = () => {}
    renewed = new Promise((resolve) => {
      renew = resolve
    })
    const { etag, status } = await ask({ 'if-none-match': before })
    expect(status).toBe(200)
    expect(etag ?? '').not.toMatch(/^W\/".{27}"$/)
    renew()
  })

  it('makes no tag of what changed while the handler ran', async () => {
    const { db, state, ask } = await start()
    await ask()
    state.read = async () => {
      const rows = await users(db)
      await insert(db, 1)
      return rows
    }
    const { etag, body } = await ask()
    expect(body).toBe('[]')
    state.read = () => users(db)
    expect(await ask({ 'if-none-match': etag ?? '"none"' })).toMatchObject({ status: 200, body: '[{"id":1}]' })
  })

  it(`never says 304 for what has changed (seed ${seed})`, async () => {
    const { db, state, ask } = await start()
    const random = randomFrom(seed)
    let held: { etag: string | null; body: string } = { etag: null, body: '' }
    for (let round = 0; round < Number(process.env.RUNS ?? 60); round++) {
      if (random() < 0.4) await insert(db, round + 10)
      // What is read depends on the rows.
      state.read = async () => {
        const rows = await users(db)
        return rows.length % 2 === 0 ? [rows.length, await db.selectFrom('orgs').selectAll().execute()] : [rows.length]
      }
      if (random() < 0.3) await db.insertInto('orgs').values({ id: round, writer: 0, value: 1 }).execute()
      const answer = await ask({ 'if-none-match': held.etag ?? '"none"' })
      const truth = JSON.stringify(await state.read({ header: () => undefined, set() {} }))
      expect(answer.status === 304 ? held.body : answer.body).toBe(truth)
      if (answer.status === 200) held = answer
      if (random() < 0.1) held = pick([held, { etag: null, body: '' }], random)
    }
  })
})

it('lets the handler answer while the store cannot be reached', async () => {
  const cache = createCache({ redis: 'redis://127.0.0.1:1', onWarn: () => {} })
  onTestFinished(() => cache.close())
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const url = await (apps.Express as (typeof apps)[string])({ monitor, cache, handler: async () => 'answer' })
  const response = await fetch(`${url}/fresh`, { headers: { 'if-none-match': '*' } })
  expect([response.status, await response.json()]).toEqual([200, 'answer'])
})

it('says once why answers have no tag', async () => {
  const warnings: Warning[] = []
  const { cache, db } = await open()
  const { default: express } = await import('express')
  const app = express()
  const check = onExpress.freshness(cache, { onWarn: (warning) => warnings.push(warning) })
  app.get('/', check as never, async (_request, response) => {
    response.json((await sql`select id from users`.execute(db)).rows)
  })
  const { listen } = await import('./support/servers.ts')
  const url = await listen(app)
  await fetch(url).then((response) => response.text())
  await fetch(url).then((response) => response.text())
  expect(warnings.map(({ code }) => code)).toEqual(['FRESHNESS_TAGS_UNKNOWN'])
})

it('takes no part of a key that JSON leaves out, and hashes a long one', async () => {
  const cache = createCache()
  await cache.invalidateTags('a')
  const request = (headers: Readonly<Record<string, string>>, path = '/') => ({
    method: 'GET',
    path,
    query: '',
    route: '',
    header: (name: string) => headers[name],
    names: () => Object.keys(headers),
    original: headers,
  })
  const gt = Symbol('gt')
  class User {
    readonly #id = 'ann'
    id = () => this.#id
  }
  const hidden = [
    new Map([[1, 'ann']]),
    new Set(['ann']),
    new User(),
    { [gt]: 1 },
    gt,
    () => 'ann',
    Promise.resolve(1),
    /a/,
  ]
  for (const part of hidden) {
    const { decide } = createFreshness(cache, { tags: ['a'], key: () => ['user', { part }] })
    await expect(decide(request({}))).rejects.toThrow('Expected every part of `key` to be plain data')
  }
  const tags = new Set<string | undefined>()
  const { decide } = createFreshness(cache, { tags: ['a'], key: (headers: Record<string, string>) => [headers.user] })
  const long = `/${'x'.repeat(5_000)}`
  for (const user of ['ann', 'bob']) {
    for (const path of ['/', long, `${long}y`]) {
      const decision = await decide(request({ user }, path))
      tags.add(decision.kind === 'run' ? await decision.validator.finish({ status: 200, headers: [] }) : undefined)
    }
  }
  expect([tags.size, tags.has(undefined)]).toEqual([6, false])
})

it('compares tags weakly, in whatever list they come', async () => {
  const cache = createCache()
  await cache.invalidateTags('a')
  const { default: express } = await import('express')
  const app = express()
  app.get('/', onExpress.freshness(cache, { tags: ['a'] }) as never, (_request, response) => {
    response.end('ok')
  })
  const { listen } = await import('./support/servers.ts')
  const url = await listen(app)
  const ask = (given: string) => fetch(url, { headers: { 'if-none-match': given } })
  const tag = (await ask('"first"')).headers.get('etag') as string
  const strong = tag.slice('W/'.length)
  for (const given of [tag, strong, `"a",${strong}`, ` W/"b" , ${tag}`, `"c",W/${strong},"d"`]) {
    expect([given, (await ask(given)).status]).toEqual([given, 304])
  }
  for (const given of ['*', strong.slice(1, -1), `${strong}x`, `w/${strong}`, `W/ ${strong}`, '']) {
    expect([given, (await ask(given)).status]).toEqual([given, 200])
  }
})

it('needs nothing of a store but its stamps', async () => {
  const cache = createCache()
  await cache.invalidateTags('a')
  const { default: express } = await import('express')
  const app = express()
  app.get('/', onExpress.freshness({ stamps: cache.stamps }, { tags: ['a'] }) as never, (_request, response) => {
    response.end('ok')
  })
  const { listen } = await import('./support/servers.ts')
  const url = await listen(app)
  const etag = (await fetch(url)).headers.get('etag') as string
  const again = () => fetch(url, { headers: { 'if-none-match': etag } }).then(({ status }) => status)
  expect(await again()).toBe(304)
  await cache.invalidateTags('a')
  expect(await again()).toBe(200)
})

it('names a wrong option', () => {
  const cache = createCache()
  expect(() => onExpress.freshness(cache, { tag: 'auto' } as never)).toThrow('did you mean `tags`?')
  expect(() => onExpress.freshness(cache, { key: 'id' } as never)).toThrow('Expected `key` to be a function')
  expect(() => onExpress.freshness({} as never)).toThrow('stamps')
})

async function open(store = 'memory') {
  const namespace = `fresh-${process.pid}-${Date.now()}`
  const cache = createCache(
    store === 'redis'
      ? { redis: services.redis as string, namespace }
      : store === 'keyv'
        ? { store: new (await import('keyv')).Keyv() as never, namespace }
        : {},
  )
  const dialect = new SqliteDialect({ database: nodeSqlite(createTables(':memory:')) })
  const db = new Kysely<Tables>(instrument({ dialect }, { invalidates: cache, nPlusOne: false, explain: false }))
  onTestFinished(async () => {
    await cache.close()
    await db.destroy()
  })
  return { cache, db }
}

function users(db: Kysely<Tables>) {
  return db.selectFrom('users').select('id').orderBy('id').execute()
}

async function insert(db: Kysely<Tables>, id: number) {
  await db.insertInto('users').values({ id, writer: 0, value: 1, org_id: 0 }).execute()
}
