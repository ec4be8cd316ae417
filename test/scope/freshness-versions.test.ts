import fastify from 'fastify'
import { createCache } from 'posthaste'
import { freshness } from 'posthaste/fastify'
import { expect, it, onTestFinished } from 'vitest'

const options = { tags: ['table:users'] as const, key: () => ['ann'] }

it.each(['plugin', 'hooks of each route', 'hooks that routes share'])(
  'gives the versions of a route on Fastify entity tags of their own (%s)',
  async (way) => {
    const app = fastify()
    onTestFinished(() => app.close())
    const cache = createCache()
    if (way === 'plugin') await app.register(freshness, { cache })
    const shared = freshness(cache, options)
    const own = () => {
      if (way === 'plugin') return { config: { freshness: options } }
      return way === 'hooks that routes share' ? shared : freshness(cache, options)
    }
    for (const version of ['1.0.0', '2.0.0']) {
      app.get('/', { ...own(), constraints: { version } }, async () => `of ${version}`)
    }
    const ask = async (version: string, etag = '') => {
      const headers = { 'accept-version': version, 'if-none-match': etag }
      const answer = await app.inject({ url: '/', headers })
      return { etag: answer.headers.etag as string, body: answer.body, status: answer.statusCode }
    }

    const [first, second] = [await ask('1.0.0'), await ask('2.0.0')]

    // A client's cache has the answer of one version, and its application asks for the other.
    expect(await ask('2.0.0', first.etag)).toEqual({ ...second, body: 'of 2.0.0', status: 200 })
    expect(await ask('1.0.0', second.etag)).toEqual({ ...first, body: 'of 1.0.0', status: 200 })
    expect(await ask('1.0.0', first.etag)).toEqual({ ...first, body: '', status: 304 })
    expect(await ask('2.0.0', second.etag)).toEqual({ ...second, body: '', status: 304 })
  },
)
