import KeyvRedis, { createClient } from '@keyv/redis'
import { Keyv } from 'keyv'
import type { Generated, Kysely } from 'kysely'
import { type Cache, cachedQuery, createCache, type LoadContext, settingsFromEnv, tags, type Wrapped } from 'posthaste'
import type { TagInvalidator } from '../../src/database/types.ts'
import { Keyv as Keyv6 } from '../support/keyv6/node_modules/keyv/dist/index.mjs'

interface User {
  readonly id: number
  readonly name: string
}
declare function findUser(id: number): Promise<User>
declare function findUsers(): Promise<User[]>

const cache = createCache({
  profiles: { users: '5m', reports: { ttl: '30m', stale: '1h', refreshAhead: 'auto' } },
  tags: tags<'users' | `user:${number}`>(),
})

// Values are inferred from the load, also when it takes its context.
const user: User = await cache.getOrSet(['user', 5], () => findUser(5), { profile: 'users', tags: ['user:5'] })
const users: User[] = await cache.getOrSet('users', async (ctx) => {
  const rows = await findUsers()
  for (const row of rows) ctx.tag(`user:${row.id}`)
  ctx.ttl('1m')
  return rows
})
const now: number = await cache.getOrSet('now', () => Date.now(), { profile: 'reports' })
const seen: User | undefined = cache.peek<User>('user')
const unknown: unknown = await cache.get('user')
const some: (User | undefined)[] = await cache.getMany<User>(['a', ['b', 1]])
const many: Map<number, User> = await cache.getOrSetMany(
  [1, 2],
  async (ids, { signal }) => {
    signal.throwIfAborted()
    return new Map(await Promise.all(ids.map(async (id) => [id, await findUser(id)] as const)))
  },
  { key: (id) => ['user', id], tags: (id, row) => [`user:${id}`, `user:${row.id}`], profile: 'users' },
)

// Wrapping keeps arguments and result.
const cachedUser: Wrapped<[id: number], User> = cache.wrap(findUser, {
  name: 'findUser',
  profile: 'users',
  tags: ([id], row) => [`user:${id}`, `user:${row.id}`],
})
const again: User = await cachedUser(5)
const withDefault = cache.wrap(async (id: number, language = 'en') => ({ id, text: language.trim() }), {
  name: 'withDefault',
  key: (id, language) => [id, language],
})
const english: Wrapped<[id: number, language?: string], { id: number; text: string }> = withDefault

// Names are known everywhere.
const rate: number = cache.stats().byProfile.reports.hitRate
await cache.invalidateTags('users', 'user:7', 'table:anything')
// Tags of a list, with and without options.
const listed = [1, 2].map((id) => `user:${id}` as const)
await cache.invalidateTags(...listed)
await cache.invalidateTags('users', ...listed, { serveStale: true })
await cache.invalidateTags(...listed, { serveStale: true })
// The profile `default` always exists.
await cache.getOrSet('a', () => 1, { profile: 'default' })
await cache.set('a', 1, { profile: 'default' })
cache.wrap(findUser, { name: 'findUser', profile: 'default' })
const usual: number = cache.stats().byProfile.default.hitRate
const plain: Cache<'default'> = createCache()
await plain.getOrSet('a', () => 1, { profile: 'default', tags: ['whatever'] })
const invalidator: TagInvalidator = cache
createCache({ profiles: { users: '5m' }, ...settingsFromEnv().cache })
await using closedByItself: Cache = createCache<string>()

// Stores of every kind fit.
createCache({ redis: 'redis://localhost', store: undefined })
createCache({ redis: createClient() })
createCache({ redis: { url: 'redis://localhost', database: 3 } })
createCache({ store: new Keyv() })
createCache({ store: new Keyv6() })
createCache({ store: new KeyvRedis('redis://localhost') })
createCache({ store: new Map<string, string>() })

await cache.stamps(['users', 'user:7', 'table:users'])

// Rows of a query.
declare const db: Kysely<{ users: { id: Generated<number>; name: string } }>
const rows: { id: number; name: string }[] = await cachedQuery(cache, db.selectFrom('users').select(['id', 'name']), {
  profile: 'users',
  tags: ['users'],
})
await cachedQuery(cache, db.selectFrom('users').select('id'), { profile: 'default' })

// @ts-expect-error -- a profile that was not declared
cache.getOrSet('a', () => 1, { profile: 'user' })
// @ts-expect-error -- a tag that was not declared
cache.invalidateTags('user')
// @ts-expect-error -- a list of tags that were not declared
cache.invalidateTags(...['user'])
// @ts-expect-error -- a tag that does not fit its template
cache.invalidateTags('user:abc')
cache.invalidateTags('users', { serveStale: true })
// @ts-expect-error -- an option that does not exist
cache.invalidateTags('users', { stale: true })
// @ts-expect-error -- a tag that was not declared, for an entry
cache.getOrSet('a', () => 1, { tags: ['nope'] })
cache.getOrSet('a', (ctx) => {
  // @ts-expect-error -- a tag that was not declared, from a load
  ctx.tag('nope')
  return 1
})
// @ts-expect-error -- a tag that was not declared, for the rows of a query
cachedQuery(cache, db.selectFrom('users').select('id'), { tags: ['nope'] })
// @ts-expect-error -- a profile that was not declared, for the rows of a query
cachedQuery(cache, db.selectFrom('users').select('id'), { profile: 'user' })
// @ts-expect-error -- a tag that was not declared, for its stamp
cache.stamps(['nope'])
// @ts-expect-error -- a bare number is no duration
createCache({ profiles: { users: 300 } })
// @ts-expect-error -- nor is a sentence
createCache({ profiles: { users: '5 minutes' } })
// @ts-expect-error -- wrap needs a name
cache.wrap(findUser, { profile: 'users' })
// @ts-expect-error -- arguments of the wrapped function
cachedUser('5')
// @ts-expect-error -- a profile that was not declared
cache.stats().byProfile.orders
// @ts-expect-error -- rows have the query's columns
const wrong: { nope: string }[] = await cachedQuery(cache, db.selectFrom('users').select('id'))
// @ts-expect-error -- an event that does not exist
cache.on('hit', () => {})
// @ts-expect-error -- the context never mentions the value: inference would break
const context: LoadContext<'a', number> = undefined as never

export {
  again,
  closedByItself,
  context,
  english,
  invalidator,
  many,
  now,
  rate,
  rows,
  seen,
  some,
  unknown,
  user,
  users,
  usual,
  wrong,
}
