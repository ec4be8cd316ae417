import { readFileSync } from 'node:fs'
import { parse as parseSimple } from 'node:querystring'
import express5 from 'express'
import express4 from 'express4'
import fc from 'fast-check'
import { Hono } from 'hono'
import { type Cache, createCache } from 'posthaste'
import { cacheResponses } from 'posthaste/express'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type HttpCacheOptions, resolveHttpCacheOptions } from '../../../src/http/response-cache/http-cache-options.ts'
import { responseKey } from '../../../src/http/response-cache/response-key.ts'
import { withHeaderRules } from '../../../src/http/response-cache/rules/harmless-headers.ts'
import { createOriginLimit } from '../../../src/http/response-cache/rules/origin-limit.ts'
import { bypassReason, type CachedRequest } from '../../../src/http/response-cache/rules/request-rules.ts'

const store = createCache()

function requestWith(headers: Readonly<Record<string, string>>, query = '', path = '/users'): CachedRequest {
  const names = Object.keys(headers)
  const header = (name: string) => headers[name]
  return { method: 'GET', path, query, route: '', header, names: () => names, original: undefined }
}

function settingsOf(options: HttpCacheOptions<unknown, string, string>, cache: object) {
  return withHeaderRules(resolveHttpCacheOptions(options, cache), cache)
}

const chromium = {
  host: 'a.example',
  connection: 'keep-alive',
  'sec-ch-ua': '"Chromium";v="140"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'upgrade-insecure-requests': '1',
  'user-agent': 'Mozilla/5.0',
  accept: 'text/html',
  'sec-fetch-site': 'none',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-user': '?1',
  'sec-fetch-dest': 'document',
  'accept-encoding': 'gzip, deflate, br, zstd',
  'accept-language': 'en-US,en;q=0.9',
  priority: 'u=0, i',
}
const base = { host: 'a.example', accept: '*/*', 'user-agent': 'x' }

describe('the headers of', () => {
  it.each<[client: string, headers: Readonly<Record<string, string>>, reason: string | undefined]>([
    ['Chromium', chromium, undefined],
    [
      'Firefox',
      { ...base, te: 'trailers', dnt: '1', 'sec-gpc': '1', priority: 'u=0', 'sec-fetch-dest': 'x' },
      undefined,
    ],
    ['Safari', { ...base, 'accept-language': 'de', 'sec-fetch-mode': 'cors', referer: 'http://a.example/' }, undefined],
    ['curl', base, undefined],
    ['undici', { ...base, connection: 'keep-alive', 'accept-language': '*', 'sec-fetch-mode': 'cors' }, undefined],
    ['axios', { ...base, 'accept-encoding': 'gzip, compress, deflate, br' }, undefined],
    ['kube-probe', { ...base, connection: 'close' }, undefined],
    ['Prometheus', { ...base, 'x-prometheus-scrape-timeout-seconds': '10' }, 'header'],
    ['OpenTelemetry', { ...base, traceparent: '00-1-2-01', tracestate: 'a=b' }, undefined],
    ['OpenTelemetry with baggage', { ...base, traceparent: '00-1-2-01', baggage: 'user=1' }, 'header'],
    ['Datadog', { ...base, 'x-datadog-trace-id': '1', 'x-datadog-parent-id': '2' }, undefined],
    [
      'nginx',
      { ...base, 'x-real-ip': '1.2.3.4', 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https' },
      undefined,
    ],
    ['ALB', { ...base, 'x-amzn-trace-id': 'Root=1', 'x-forwarded-port': '443', 'x-forwarded-for': '1' }, undefined],
    [
      'Cloudflare',
      { ...base, 'cdn-loop': 'cloudflare', 'cf-connecting-ip': '1.2.3.4', 'cf-ipcountry': 'DE' },
      'header',
    ],
    ['a client with a cookie', { ...base, cookie: 'a=1' }, 'cookie'],
    ['a client with credentials', { ...base, authorization: 'x' }, 'authorization'],
    ...[
      ...['apikey', 'x-session-token', 'remote-user', 'x-auth-request-user', 'x-ms-client-principal', 'x-user-id'],
      ...[
        'x-goog-authenticated-user-email',
        'x-consumer-username',
        'tailscale-user-login',
        'x-tenant',
        'accept-version',
      ],
      ...['x-vercel-ip-country', 'cloudfront-viewer-country', 'x-envoy-peer-metadata', 'x-csrf-token', 'content-type'],
    ].map((name): [string, Record<string, string>, string] => [
      `a client that sends ${name}`,
      { ...base, [name]: 'x' },
      'header',
    ]),
  ])('%s answer a hit, or say why not', (_client, headers, reason) => {
    const settings = settingsOf({ onWarn: () => {} }, store)
    const expected = reason === undefined ? undefined : `fwd=bypass; detail=${reason}`
    expect(bypassReason(requestWith(headers), settings)).toBe(expected)
  })
})

describe('the table of proxies in docs/response-caching.md', () => {
  const rows = readFileSync('docs/response-caching.md', 'utf8').matchAll(/^\| (\S+) +\| `\[(.*)\]` +\|$/gm)
  const table = new Map(Array.from(rows, ([, proxy = '', names = '']) => [proxy, names.slice(1, -1).split("', '")]))

  it.each<[proxy: string, headers: Readonly<Record<string, string>>]>([
    ['ingress-nginx', { 'x-scheme': 'https', 'x-forwarded-scheme': 'https', 'x-original-forwarded-for': '192.0.2.1' }],
    ['Traefik', { 'x-forwarded-server': 'traefik-0' }],
    ['Envoy', { 'x-envoy-external-address': '192.0.2.1', 'x-envoy-expected-rq-timeout-ms': '15000' }],
    ['Cloudflare', { 'cf-ray': '8-FRA', 'cf-visitor': '{"scheme":"https"}', 'cf-ipcountry': 'DE', 'cdn-loop': 'x' }],
    ['Heroku', { 'x-request-start': '1764547200000', 'connect-time': '1', 'total-route-time': '0', via: '1.1 vegur' }],
  ])('makes requests through %s usable', (proxy, own) => {
    const forwarded = { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https', 'x-real-ip': '192.0.2.1' }
    const request = requestWith({ ...chromium, ...forwarded, ...own })
    expect(bypassReason(request, settingsOf({}, store))).toBe('fwd=bypass; detail=header')
    expect(bypassReason(request, settingsOf({ ignoreHeaders: table.get(proxy) }, store))).toBe(undefined)
  })
})

it('allows headers that are in `vary` or `ignoreHeaders`', () => {
  const settings = settingsOf({ vary: ['X-Tenant'], ignoreHeaders: ['CF-*', 'x-a'], onWarn: () => {} }, store)
  const reason = (name: string) => bypassReason(requestWith({ ...base, [name]: 'x' }), settings)
  for (const name of ['x-tenant', 'cf-ray', 'x-a']) expect(reason(name)).toBeUndefined()
  for (const name of ['x-tenants', 'x-ab', 'xcf-ray']) expect(reason(name)).toBe('fwd=bypass; detail=header')
})

it.each(['X-Tenant-*', '*', 'X-Tenant, Accept-Language', 'X-Tenant,', ' X-Tenant', 'X Tenant', 'X-Tenant:', 'Ä', ''])(
  'refuses %j in `vary`: no request has such a header, so all clients would share an answer',
  (name) => {
    const wanted = 'Expected `vary` to be a list of header names, got '
    expect(() => settingsOf({ vary: ['Accept', name] }, store)).toThrow(wanted)
  },
)

describe('the warning about headers', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('is given once, a minute after the first, with few names', () => {
    const warnings: { code: string; message: string }[] = []
    const cache = createCache()
    const onWarn = (warning: { code: string; message: string }) => void warnings.push(warning)
    const settings = [1, 2].map(() => settingsOf({ onWarn }, cache))
    for (let index = 0; index < 50; index++) {
      const name = `x-${index}-${'long'.repeat(40)}`
      for (const one of settings) bypassReason(requestWith({ ...base, [name]: 'x' }), one)
    }
    expect(warnings).toEqual([])
    vi.advanceTimersByTime(60_000)
    bypassReason(requestWith({ ...base, 'x-later': 'x' }), settings[0] as never)
    vi.advanceTimersByTime(600_000)
    expect(warnings.map(({ code }) => code)).toEqual(['CACHE_HEADER_UNKNOWN'])
    const names = warnings[0]?.message.match(/`x-\d+-[a-z]*`/g) ?? []
    expect([names.length, Math.max(...names.map(({ length }) => length))]).toEqual([20, 66])
  })
})

describe('query strings', () => {
  const runs = Number(process.env.RUNS ?? 3_000)
  const seed = Number(process.env.SEED ?? 20_26)
  const parserOf = (express: unknown, kind: string): ((query: string) => unknown) => {
    const app = (express as typeof express5)()
    app.set('query parser', kind)
    return app.get('query parser fn') as (query: string) => unknown
  }
  const hono = new Hono().get('/', (c) => c.json([c.req.query(), c.req.queries()]))
  const parsers: readonly ((query: string) => unknown)[] = [
    ...[express4, express5].flatMap((express) => ['simple', 'extended'].map((kind) => parserOf(express, kind))),
    (query) => parseSimple(query),
    (query) => [...new URLSearchParams(`?${query}`)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  ]
  const piece = fc.constantFrom(
    ...[
      'a',
      'b',
      'page',
      '=',
      '=',
      '&',
      '&',
      '?',
      ';',
      '+',
      '[',
      ']',
      '[]',
      '[0]',
      '.',
      '%',
      '%5B',
      '%5D',
      '%3D',
      '%26',
    ],
    ...[
      '%FF',
      '%C3',
      '%A4',
      'ä',
      '1',
      '2',
      '%31',
      '%70age',
      '__proto__',
      'hasOwnProperty',
      ',',
      '%2C',
      '#',
      '/',
      ' ',
      '%00',
    ],
  )
  const query = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(''))
  const names = fc.constantFrom('a', 'b', 'page', 'page[a]', 'page%5Ba%5D', '%70age', '__proto__', 'a[]', 'a[0]')
  const parameter = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(names, fc.constantFrom('=1', '=2', '=', '', '=%C3%A4')).map((both) => both.join('')),
    },
    { weight: 1, arbitrary: query },
  )
  /** Often the same parameters in another order, so that keys do meet. */
  const pair = fc.oneof(
    fc.tuple(query, query),
    fc
      .tuple(fc.array(fc.tuple(parameter, fc.nat(1_000)), { maxLength: 4 }), fc.constant('&'))
      .map(([parts, separator]) => {
        const shuffled = parts.toSorted(([, a], [, b]) => a - b)
        return [parts, shuffled].map((all) => all.map(([text]) => text).join(separator)) as [string, string]
      }),
  )

  /** The same parameters with others beside them. */
  const aside = fc
    .tuple(fc.array(parameter, { maxLength: 2 }), fc.array(fc.tuple(parameter, fc.boolean()), { maxLength: 3 }))
    .map(([kept, others]): [string, string] => {
      const join = (isFirst: boolean) =>
        [...kept, ...others.filter(([, inFirst]) => inFirst === isFirst).map(([text]) => text)].join('&')
      return [join(true), join(false)]
    })

  it.each([['all' as const], [['a', 'b', 'page', 'page[a]']]])(
    'share an entry only if every parser reads them alike: %s',
    async (listed) => {
      const settings = settingsOf({ query: listed, onWarn: () => {} }, store)
      const keyOf = (text: string) => {
        const request = requestWith(base, text)
        return bypassReason(request, settings) === undefined ? responseKey(request, settings) : undefined
      }
      let shared = 0
      await fc.assert(
        fc.asyncProperty(pair, async ([first, second]) => {
          const key = keyOf(first)
          if (key === undefined || key !== keyOf(second)) return
          if (first !== second) shared++
          for (const parse of parsers) expect(parse(first)).toEqual(parse(second))
          const answers = [first, second].map(async (text) => (await hono.request(`/?${text}`)).json())
          expect(await answers[0]).toEqual(await answers[1])
        }),
        { numRuns: runs, seed },
      )
      expect(shared).toBeGreaterThan(0)
    },
    600_000,
  )

  it.each([['all' as const], [['a', 'page', 'page[a]']]])(
    'share an entry of one `key` only if every parser reads the listed parameters alike: %s',
    async (listed) => {
      const settings = settingsOf({ query: listed, key: () => [], onWarn: () => {} }, store)
      const keyOf = (text: string) => {
        const request = requestWith(base, text)
        return bypassReason(request, settings) === undefined
          ? JSON.stringify(responseKey(request, settings))
          : undefined
      }
      const readable = listed === 'all' ? undefined : new Set(['a', 'page', 'page[a]', 'page%5Ba%5D'])
      const listedOf = (parsed: unknown): unknown => {
        if (readable === undefined) return parsed
        if (Array.isArray(parsed)) return parsed.filter(([name]) => readable.has(name))
        return Object.fromEntries(Object.entries(parsed as object).filter(([name]) => readable.has(name)))
      }
      let shared = 0
      await fc.assert(
        fc.property(fc.oneof(pair, aside), ([first, second]) => {
          const key = keyOf(first)
          if (key === undefined || key !== keyOf(second)) return
          if (first !== second) shared++
          for (const parse of parsers) expect(listedOf(parse(first))).toEqual(listedOf(parse(second)))
        }),
        { numRuns: runs, seed },
      )
      expect(shared).toBeGreaterThan(0)
    },
    600_000,
  )

  it('reach past the number of parameters that parsers read in no cached request', () => {
    const unlisted = Array.from({ length: 1_000 }, (_, index) => `u${index}`).join('&')
    for (const options of [{ query: 'all' as const }, { query: ['page'], key: () => [] }]) {
      const settings = settingsOf(options, store)
      expect(bypassReason(requestWith(base, `${unlisted}&page=5`), settings)).toBe('fwd=bypass; detail=query')
      expect(bypassReason(requestWith(base, `${unlisted.slice(0, 200)}&page=5`), settings)).toBeUndefined()
    }
  })

  it.each(['page[]=5', 'page[0]=5', 'page%5B%5D=5', '[page]=5', 'page.a=5', 'u=1;page=5', 'u=1&page[a]=5'])(
    'are not cached where a parser could find a listed parameter in an unlisted one, with a `key` too: %s',
    (text) => {
      const reasonFor = (query: readonly string[]) =>
        bypassReason(requestWith(base, text), settingsOf({ query, key: () => [] }, store))
      expect(reasonFor(['page'])).toBe('fwd=bypass; detail=query')
      expect(reasonFor(['page[b]'])).toBe('fwd=bypass; detail=query')
      // The key holds all that is not listed.
      expect(reasonFor([])).toBeUndefined()
      if (!text.includes(';')) expect(reasonFor(['size'])).toBeUndefined()
    },
  )

  it.each(['?page=5', '%FF=1', 'a=%C3', 'page[a]=1', 'page.a=1', 'a;b=1', '%zz', 'b=1#&a=2', 'a=\xa0'])(
    'of doubt are not cached: %s',
    (text) => {
      const settings = settingsOf({ query: 'all', onWarn: () => {} }, store)
      expect(bypassReason(requestWith(base, text), settings)).toBe('fwd=bypass; detail=query')
    },
  )
})

describe('the limit of origins', () => {
  const minutes = 60_000
  const limitOf = (random?: () => number) => {
    const isKnown = createOriginLimit(random)
    return (host: string, prefix = '', now = 0) => isKnown(requestWith({ host, 'x-forwarded-prefix': prefix }), now)
  }
  const invented = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `invented${from + index}`)

  it('admits eight variants of what clients say of the origin, for each host', () => {
    const ask = limitOf(() => 1)
    const admitted = Array.from({ length: 12_000 }, (_, index) => ask('a.example', `/${index}`)).filter(Boolean)
    expect(admitted).toHaveLength(8)
    expect([ask('a.example', '/3'), ask('b.example', '/new'), ask('a.example', '/new')]).toEqual([true, true, false])
    expect(ask('a.example', '/new', 10 * minutes + 1)).toBe(true)
    expect(ask('c.example', `/${'x'.repeat(1_000)}`)).toBe(false)
  })

  it('knows an origin that is asked for again, whatever clients invent, and forgets what is not', () => {
    const ask = limitOf(() => 1)
    for (let now = 0; now < 60 * minutes; now += 9 * minutes) {
      expect([ask('a.example', '', now), ask('a.example', '/mount', now)]).toEqual([true, true])
      const hosts = invented(2_000, now)
      expect(hosts.filter((host) => ask(host, '', now)).length).toBeLessThanOrEqual(1_000)
      for (let variant = 0; variant < 20; variant++) ask('a.example', `/${now + variant}`, now)
      expect([ask('a.example', '', now), ask('a.example', '/mount', now), ask('b.example', '', now)]).toEqual([
        true,
        true,
        false,
      ])
    }
    for (const now of [120 * minutes, 131 * minutes]) for (const host of invented(1_000, now)) ask(host, '', now)
    expect(ask('a.example', '', 131 * minutes)).toBe(false)
  })

  it('comes to know a new host while others are invented, and all of an application with many hosts', () => {
    const ask = limitOf()
    const admitted = invented(33_000).filter((host) => ask(host))
    // One of 64 after the first thousand.
    expect(admitted.length).toBeGreaterThan(1_300)
    expect(admitted.length).toBeLessThan(1_700)
    for (let request = 0; request < 2_000; request++) ask('a.example')
    expect(ask('a.example')).toBe(true)
    for (const host of invented(33_000, 33_000)) ask(host)
    expect(ask('a.example')).toBe(true)

    const askTenants = limitOf()
    const tenants = invented(2_000)
    const rounds = Array.from({ length: 1_500 }, () => tenants.filter((host) => askTenants(host)).length)
    expect([rounds[0], rounds.at(-1)]).toEqual([expect.toSatisfy((count) => count < 1_100), 2_000])
  })
})

it.each([
  ['nothing', undefined, null],
  ['null', null, null],
  ['false, as `user && [user.id]` is without a user', false, null],
  ['a text', 'ann', TypeError],
  ['an empty text', '', TypeError],
  ['a number', 0, TypeError],
  ['an object', { id: 1 }, TypeError],
  ['a promise', Promise.resolve(['ann']), TypeError],
  ['a promise that rejects', () => Promise.reject(new Error('no user')), TypeError],
  ['a set', new Set(['ann']), TypeError],
])('takes no `key` that returns %s for one that all clients share', (_what, returned, expected) => {
  const key = typeof returned === 'function' ? returned : () => returned
  const settings = settingsOf({ key: key as never }, store)
  const make = () => responseKey(requestWith({ ...base, authorization: 'ann' }), settings)
  if (expected === null) expect(make()).toBeNull()
  else expect(make).toThrow('Expected `key` to return a list, or null')
})

it.each([undefined, null, 'users', [5], Promise.resolve(['users'])])(
  'takes no `tags` that returns %s for an answer without tags',
  (returned) => {
    const { tagsOf } = settingsOf({ tags: (() => returned) as never }, store)
    expect(() => (tagsOf as (request: unknown) => unknown)({})).toThrow('Expected `tags` to be a list of names')
  },
)

it('names a wrong option', () => {
  const cache = createCache() as unknown as Cache
  expect(() => cacheResponses(cache, { ignoreHeaders: 'cf-*' as never })).toThrow('`ignoreHeaders`')
  expect(() => cacheResponses(cache, { onWarn: 1 as never })).toThrow('`onWarn`')
})
