import querystring from 'node:querystring'
import { Ajv } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { sql } from 'kysely'
import {
  ClientInputError,
  date,
  flag,
  int,
  ListQueryError,
  listQuery,
  manyOf,
  oneOf,
  problemDetails,
  settingsFromEnv,
  text,
} from 'posthaste'
import { describe, expect, it } from 'vitest'
import { linkHeader } from '../../../src/pagination/link-header.ts'
import { character } from '../support/characters.ts'

const numRuns = Number(process.env.PROPERTY_RUNS ?? 500)

const users = listQuery({
  sort: {
    created_at: 'users.created_at',
    name: 'users.name',
    last_login: { key: 'users.last_login', nulls: 'last' },
    email: { expr: sql<string>`lower(email)`, nulls: 'never' },
  },
  defaultSort: '-created_at',
  filter: {
    role: oneOf('admin', 'manager', 'user'),
    tags: manyOf('vip', 'new'),
    active_only: flag({ default: true }),
    team: int({ min: 1 }),
    search: text({ max: 20 }),
    since: date(),
  },
})

function issuesOf(query: { parse(input: unknown): unknown }, input: unknown): Record<string, string> {
  try {
    query.parse(input)
  } catch (error) {
    if (!(error instanceof ListQueryError)) throw error
    return Object.fromEntries(error.issues.map(({ param, message }) => [param, message]))
  }
  return {}
}

const faulty = (query: { parse(input: unknown): unknown }, input: unknown) => Object.keys(issuesOf(query, input))

it('names the nearest option for one that it does not know', () => {
  expect(() => listQuery({ filters: {} } as object)).toThrow('did you mean `filter`?')
})

describe('a parsed query', () => {
  it('has the defaults when nothing is given', () => {
    const q = users.parse('')
    expect(q).toEqual({
      page: 1,
      perPage: 10,
      maxPerPage: 100,
      by: [{ key: 'users.created_at', dir: 'desc' }],
      filter: { active_only: true },
      scope: 'active_only=true',
      key: 'page=1&per_page=10&sort=-created_at&active_only=true',
    })
    expect(q).toHaveProperty('after', undefined)
    expect(q.filter).toHaveProperty('role', undefined)
  })

  it('has every parameter in its type', () => {
    const q = users.parse(
      'page=3&per_page=50&sort=-last_login,name&role=admin&tags=vip&tags=new&active_only=0&team=7&search=a%20b%26c&since=2024-01-31T09%3A30%3A00%2B02%3A00',
    )
    expect(q).toMatchObject({
      page: 3,
      perPage: 50,
      by: [
        { key: 'users.last_login', nulls: 'last', dir: 'desc' },
        { key: 'users.name', dir: 'asc' },
      ],
    })
    expect(q.filter).toEqual({
      role: 'admin',
      tags: ['vip', 'new'],
      active_only: false,
      team: 7,
      search: 'a b&c',
      since: new Date('2024-01-31T07:30:00Z'),
    })
  })

  it('carries an expression to sort by', () => {
    const [key] = users.parse('sort=email').by
    expect(key).toMatchObject({ nulls: 'never', dir: 'asc' })
    expect(key).toHaveProperty('expr')
  })

  it('has no order when none is declared, and then no `sort` parameter', () => {
    expect(listQuery().parse('sort=id').by).toEqual([])
    expect(faulty(listQuery({ unknown: 'reject' }), 'sort=id')).toEqual(['sort'])
    expect(listQuery({ sort: { id: 'id' } }).parse('').by).toEqual([])
    expect(listQuery({ sort: { id: 'id', x: 'x' }, defaultSort: ['x', '-id'] }).parse('').by).toHaveLength(2)
  })

  it('passes a cursor on as it is', () => {
    expect(users.parse('after=abc-_9')).toMatchObject({ after: 'abc-_9', before: undefined, page: 1 })
    expect(users.parse({ before: 'x' }).before).toBe('x')
  })

  it('takes its page sizes from the settings of the environment', () => {
    const { pagination } = settingsFromEnv({ DEFAULT_PAGE_SIZE: '25', MAX_PAGE_SIZE: '30' })
    const list = listQuery({ ...pagination })
    expect(list.parse('').perPage).toBe(25)
    expect(faulty(list, 'per_page=31')).toEqual(['per_page'])
  })

  it('is small by default where the largest page is smaller still', () => {
    expect(listQuery({ perPage: { max: 5 } }).parse('').perPage).toBe(5)
  })
})

describe('inputs', () => {
  const query = 'role=admin&page=2&search=a%2Bb'
  const inputs: [string, unknown][] = [
    ['a query string', query],
    ['a query string with its question mark', `?${query}`],
    ['a path', `/users?${query}`],
    ['a path with a fragment', `/users?${query}#page=9`],
    ['an address', `https://api.example/users?${query}`],
    ['an address with a fragment', `HTTP://api.example/users?${query}#?page=9`],
    ['URLSearchParams', new URLSearchParams(query)],
    ['a URL', new URL(`https://api.example/users?${query}#x`)],
    ['a Request', new Request(`https://api.example/users?${query}`)],
    ['a Request by its shape', { url: `https://api.example/users?${query}`, headers: new Headers() }],
    ['a plain object', { role: 'admin', page: '2', search: 'a+b' }],
    ['an object without a prototype', Object.assign(Object.create(null), { role: 'admin', page: 2, search: 'a+b' })],
    [
      'an object with an empty prototype',
      Object.assign(Object.create(Object.create(null)), { role: 'admin', page: '2', search: 'a+b' }),
    ],
  ]

  it.each(inputs)('may be %s', (_name, input) => {
    expect(users.parse(input)).toEqual(users.parse(query))
    expect(users.parse(input)).toMatchObject({ page: 2, filter: { role: 'admin', search: 'a+b' } })
  })

  it('may be a path without a query', () => {
    for (const input of ['/users', '/users#?page=2', '//', 'https://api.example', '?', '']) {
      expect(users.parse(input)).toEqual(users.parse(''))
    }
  })

  it('are a mistake of the program when they are anything else', () => {
    for (const input of [null, undefined, 1, [], new Map([['page', '2']]), () => {}, new Date()]) {
      expect(() => users.parse(input)).toThrow(TypeError)
    }
    expect(() => users.parse(null)).toThrow(
      'Expected a query string, URL, URLSearchParams, Request or plain object, got `null`',
    )
  })
})

describe('faults', () => {
  it.each([
    '',
    '0',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    ' 2',
    '2 ',
    '+2',
    '٣',
    '３',
    '01',
    '1,2',
    'NaN',
    '2147483648',
    '9'.repeat(400),
  ])('are pages like %j', (page) => {
    expect(faulty(users, new URLSearchParams({ page }))).toEqual(['page'])
    expect(faulty(users, { page })).toEqual(['page'])
    expect(faulty(users, new URLSearchParams({ per_page: page }))).toEqual(['per_page'])
  })

  it('are a page size beyond the largest, and page sizes of another type', () => {
    expect(issuesOf(users, 'per_page=101')).toEqual({
      per_page: "Expected `per_page` to be a whole number from 1 to 100, got `'101'` (string)",
    })
    for (const value of [0, 101, 1.5, true, ['10'], [10], { gt: '1' }]) {
      expect(faulty(users, { per_page: value })).toEqual(['per_page'])
    }
  })

  it.each([
    'page=1&page=2',
    'per_page=1&per_page=1',
    'sort=name&sort=name',
    'after=a&after=b',
    'role=admin&role=admin',
    'active_only=1&active_only=1',
    'team=1&team=2',
    'search=a&search=b',
    'since=2024-01-01&since=2024-01-01',
  ])('are scalars that are repeated: %s', (query) => {
    const name = query.slice(0, query.indexOf('='))
    expect(faulty(users, query)).toEqual([name])
    expect(faulty(users, { [name]: new URLSearchParams(query).getAll(name) })).toEqual([name])
  })

  it.each(['page[]=2', 'page[0]=2', 'page[gt]=2', 'page%5B%5D=2', 'tags[]=vip', 'role[ne]=admin'])(
    'are names with brackets, as other parsers spell lists and objects: %s',
    (query) => {
      expect(faulty(users, query)).toEqual([query.slice(0, 4)])
    },
  )

  it('say how the parameter with brackets was spelled', () => {
    expect(issuesOf(users, 'tags[]=vip').tags).toBe(
      "Expected `tags` to be some of 'vip', 'new', split by commas, got `tags[]`",
    )
  })

  it('are not names with brackets that are declared', () => {
    const list = listQuery({ filter: { 'filter[role]': oneOf('admin'), filter: text() } })
    expect(list.parse('filter[role]=admin').filter['filter[role]']).toBe('admin')
    expect(faulty(list, 'filter[name]=x')).toEqual(['filter'])
  })

  it.each([
    'password',
    'users.password',
    '-',
    '',
    ' name',
    '+name',
    'name,',
    ',name',
    'name,name',
    'name,-name',
    '-created_at,name,-created_at',
    '--name',
    'name desc',
    'name;drop',
    '__proto__',
    'constructor',
    'name,email,created_at,last_login',
  ])('are sorts outside the allow-list: %j', (sort) => {
    expect(faulty(users, { sort })).toEqual(sort === '' ? [] : ['sort'])
  })

  it('are more sorts than allowed', () => {
    const one = listQuery({ sort: { a: 'a', b: 'b' }, maxSorts: 1 })
    expect(one.parse('sort=-a').by).toHaveLength(1)
    expect(issuesOf(one, 'sort=a,b').sort).toBe(
      "Expected `sort` to be one of a, b, each once, with `-` before it for descending, got `'a,b'` (string)",
    )
  })

  it('are a page beside a cursor, and two cursors', () => {
    expect(issuesOf(users, 'page=1&after=x')).toEqual({ page: 'Expected either `page` or a cursor, got both' })
    expect(issuesOf(users, 'page=1&before=x')).toEqual({ page: 'Expected either `page` or a cursor, got both' })
    expect(issuesOf(users, 'after=x&before=y')).toEqual({
      before: 'Expected either `after` or `before`, got both',
    })
    expect(faulty(users, 'after=')).toEqual(['after'])
  })

  it('are reported all at once, in one error that answers 400', async () => {
    let error: unknown
    try {
      users.parse('page=0&per_page=x&sort=password&role=root&tags=a&active_only=&team=0&search=%00&since=today')
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(ListQueryError)
    expect(error).toBeInstanceOf(ClientInputError)
    expect(error).toMatchObject({ code: 'ERR_LIST_QUERY', status: 400, statusCode: 400, expose: true })
    const { issues } = error as ListQueryError
    expect(issues.map((issue) => issue.param)).toEqual([
      'page',
      'per_page',
      'sort',
      'role',
      'tags',
      'active_only',
      'team',
      'search',
      'since',
    ])
    expect((error as Error).message).toBe(issues.map((issue) => issue.message).join('; '))
    expect(JSON.parse(problemDetails(error)?.body ?? '')).toMatchObject({ code: 'ERR_LIST_QUERY', issues })
    expect(await (error as ListQueryError).getResponse().json()).toMatchObject({ issues })
  })

  it('do not grow with the request', () => {
    const strict = listQuery({ unknown: 'reject' })
    const query = Array.from({ length: 50_000 }, (_, index) => `p${index}=1`).join('&')
    expect(faulty(strict, query)).toHaveLength(20)
    expect(issuesOf(users, `role=${'x'.repeat(1_000_000)}`).role?.length).toBeLessThan(150)
  })

  it('show a hostile text in one line', () => {
    expect(issuesOf(users, 'role=a%0D%0Ab%1B%5B31m%E2%80%AE').role).not.toMatch(/\p{C}/u)
    expect(issuesOf(listQuery({ unknown: 'reject' }), { 'x\ny': '1' })['x\ny']).toBe('Expected no parameter `x\uFFFDy`')
  })
})

describe('an empty value', () => {
  it('of a filter or the sort counts as not given, as a form sends what was left blank', () => {
    expect(users.parse('role=&tags=&team=&search=&since=&sort=')).toEqual(users.parse(''))
  })

  it('of a flag, a page, a page size or a cursor is a fault', () => {
    expect(faulty(users, 'active_only&page=&per_page=')).toEqual(['page', 'per_page', 'active_only'])
    expect(faulty(users, 'after=')).toEqual(['after'])
  })
})

describe('unknown parameters', () => {
  it('are ignored unless they are refused', () => {
    expect(users.parse('utm_source=x&__proto__=1').key).toBe(users.parse('').key)
    expect(issuesOf(listQuery({ unknown: 'reject' }), 'page=1&utm=x')).toEqual({ utm: 'Expected no parameter `utm`' })
  })

  it('cannot be the names that every object has', () => {
    const strict = listQuery({ unknown: 'reject', filter: { constructor: text() } })
    expect(faulty(strict, '__proto__=1&toString=2')).toEqual(['__proto__', 'toString'])
    expect(strict.parse({}).filter.constructor).toBeUndefined()
    expect(strict.parse('constructor=x').filter.constructor).toBe('x')
  })

  it('change no prototype', () => {
    const hostile = JSON.parse('{"__proto__": {"polluted": "1", "page": "7"}, "role": "admin"}')
    const q = users.parse(hostile)
    expect(q.page).toBe(1)
    expect('polluted' in q || 'polluted' in q.filter || 'polluted' in {}).toBe(false)
  })
})

describe('clamping', () => {
  const list = listQuery({ outOfRange: 'clamp', perPage: { max: 50 }, filter: { team: int({ min: 1, max: 9 }) } })

  it('takes the nearest page and page size that there are', () => {
    expect(list.parse('page=0&per_page=500')).toMatchObject({ page: 1, perPage: 50 })
    expect(list.parse('page=-3&per_page=0')).toMatchObject({ page: 1, perPage: 1 })
    expect(list.parse(`per_page=${'9'.repeat(400)}`).perPage).toBe(50)
    expect(list.parse({ per_page: 1e300 }).perPage).toBe(50)
  })

  it('still refuses what is no whole number, and never clamps a filter', () => {
    expect(faulty(list, 'page=1.5&per_page=1e3&team=10')).toEqual(['page', 'per_page', 'team'])
  })
})

describe('casing', () => {
  it('names the page size as asked, and the result stays the same', () => {
    const camel = listQuery({ casing: 'camel', filter: { active_only: flag() } })
    expect(camel.parse('perPage=5&active_only=1')).toMatchObject({ perPage: 5, filter: { active_only: true } })
    expect(camel.parse('per_page=5').perPage).toBe(10)
    expect(faulty(camel, 'perPage=0')).toEqual(['perPage'])
    expect(listQuery({ casing: 'snake' }).parse('per_page=5').perPage).toBe(5)
  })
})

describe('the key', () => {
  it('is the same for the same question', () => {
    const same = ['tags=new,vip&role=admin&page=1', '?role=admin&tags=vip&tags=new&per_page=10&active_only=1&utm=x']
    expect(new Set(same.map((query) => users.parse(query).key)).size).toBe(1)
  })

  it('differs where anything differs', () => {
    const different = [
      '',
      'page=2',
      'per_page=11',
      'after=x',
      'before=x',
      'sort=name',
      'sort=-name',
      'active_only=0',
      'role=user',
      'search=a',
      'search=a%26role%3Duser',
    ]
    expect(new Set(different.map((query) => users.parse(query).key)).size).toBe(different.length)
  })

  it('does not hang on the order of the declaration', () => {
    const a = listQuery({ filter: { a: text(), b: text() } })
    const b = listQuery({ filter: { b: text(), a: text() } })
    expect(a.parse('a=1&b=2').key).toBe(b.parse('a=1&b=2').key)
  })

  it('has the filters alone as its scope', () => {
    const { scope } = users.parse('role=user&sort=name&per_page=3&after=x')
    expect(scope).toBe('active_only=true&role=user')
    expect(scope).toBe(users.parse('role=user&before=y').scope)
    expect(listQuery({ filter: { role: oneOf('a') } }).parse('').scope).toBeUndefined()
  })

  it('parses to the query it is the key of', () => {
    fc.assert(
      fc.property(goodObject, (input) => {
        const q = users.parse(input)
        expect(users.parse(q.key)).toEqual(q)
      }),
      { numRuns },
    )
  })
})

describe('the declaration', () => {
  it('refuses rules that contradict themselves', () => {
    const wrong: [() => unknown, RegExp][] = [
      [() => listQuery({ perPage: { max: 0 } }), /perPage.max/],
      [() => listQuery({ perPage: { default: 200 } }), /perPage.default/],
      [() => listQuery({ perPage: { default: 20, max: 10 } }), /perPage.default/],
      [() => listQuery({ perPage: { default: '10' as never } }), /perPage.default/],
      [() => listQuery({ maxSorts: 0 }), /maxSorts/],
      [() => listQuery({ outOfRange: 'ignore' as never }), /outOfRange/],
      [() => listQuery({ unknown: 'refuse' as never }), /unknown/],
      [() => listQuery({ casing: 'kebab' as never }), /casing/],
      [() => listQuery({ sort: { '-a': 'a' } }), /sort/],
      [() => listQuery({ sort: { 'a,b': 'a' } }), /sort/],
      [() => listQuery({ sort: { '': 'a' } }), /sort/],
      [
        () => listQuery({ sort: { a: 'a' }, defaultSort: 'b' as 'a' }),
        /`defaultSort` to be up to 3 of a, .*, got `'b'` \(string\)/,
      ],
      [() => listQuery({ sort: { a: 'a' }, defaultSort: ['a', '-a'] }), /`defaultSort` .*, got `'a,-a'` \(string\)/],
      [() => listQuery({ defaultSort: 'a' as never }), /defaultSort/],
      [() => listQuery({ filter: { page: int() } }), /page/],
      [() => listQuery({ filter: { per_page: int() } }), /per_page/],
      [() => listQuery({ filter: { sort: text() } }), /sort/],
      [() => listQuery({ filter: { '': text() } }), /filters/],
    ]
    for (const [declare, message] of wrong) expect(declare).toThrow(message)
  })
})

describe('as a Standard Schema', () => {
  const standard = users['~standard']

  it('validates as it parses', () => {
    expect(standard).toMatchObject({ version: 1, vendor: 'posthaste' })
    expect(standard.validate({ page: '2' })).toEqual({ value: users.parse({ page: '2' }) })
    expect(standard.validate({ page: '0', role: 'root' })).toEqual({
      issues: [
        { path: ['page'], message: expect.stringContaining('`page`') },
        { path: ['role'], message: expect.stringContaining('`role`') },
      ],
    })
  })

  it('reports an input that is no query as an issue, and throws nothing', () => {
    for (const value of [null, undefined, 1, [], new Map()]) {
      expect(standard.validate(value)).toEqual({ issues: [{ message: expect.any(String) }] })
    }
  })
})

const texts = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '1',
    '2',
    '100',
    '101',
    '-1',
    '1e1',
    '0x1',
    '01',
    '2147483647',
    '2147483648',
    'true',
    'false',
  ),
  fc.constantFrom(
    'admin',
    'user',
    'root',
    'vip',
    'vip,new',
    'vip,',
    'new,new',
    'name',
    '-name',
    'name,-name',
    '-name,email',
    'name,email,created_at,last_login',
    'name,email',
    '-name,name',
  ),
  fc.constantFrom(
    '2024-02-29',
    '2023-02-29',
    '2024-01-31T09:30:00Z',
    '2024-01-31T09:30:00',
    '0000-01-01',
    'x'.repeat(20),
    '😀'.repeat(20),
    '😀'.repeat(21),
    'a\0b',
    '\ud800',
    'a\nb',
  ),
  fc.string({ unit: character, maxLength: 25 }),
  fc.integer().map(String),
)
const values = fc.oneof(
  { weight: 4, arbitrary: texts },
  fc.integer({ min: -2, max: 102 }),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.array(texts, { maxLength: 3 }),
  fc.dictionary(fc.string(), texts, { maxKeys: 2 }),
)
const names = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      'page',
      'per_page',
      'sort',
      'after',
      'before',
      'role',
      'tags',
      'active_only',
      'team',
      'search',
      'since',
    ),
  },
  fc.constantFrom(
    'sort[]',
    'page[]',
    'tags[]',
    'tags[][0]',
    'role[ne]',
    'perPage',
    'utm',
    'constructor',
    '__proto__',
    '',
    'pagex',
    'xpage[',
  ),
  fc.string({ maxLength: 5 }),
)
const anyObject = fc
  .array(fc.tuple(names, values), { maxLength: 4 })
  .map((entries): Record<string, unknown> => Object.fromEntries(entries))

const queryStrings = fc
  .dictionary(fc.string({ unit: character }), fc.string({ unit: character }))
  .map((parameters) => String(new URLSearchParams(parameters)))

const goodObject = fc.record(
  {
    page: fc.integer({ min: 1, max: 2_147_483_647 }),
    per_page: fc.integer({ min: 1, max: 100 }).map(String),
    sort: fc
      .uniqueArray(fc.constantFrom('name', 'email', 'created_at', 'last_login'), { maxLength: 3 })
      .chain((terms) => fc.constantFrom(terms.join(','), terms.length > 0 ? terms : '')),
    role: fc.constantFrom('admin', 'user', ''),
    tags: fc.array(fc.constantFrom('vip', 'new', 'vip,new', ''), { maxLength: 3 }),
    active_only: fc.constantFrom('true', 'false', '0', '1', true, false),
    team: fc.integer({ min: 1, max: 2_147_483_647 }),
    search: fc.string({ unit: character, maxLength: 5 }).filter((value) => !value.includes('\0')),
    since: fc
      .date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z'), noInvalidDate: true })
      .map((value) => value.toISOString()),
  },
  { requiredKeys: [] },
)

describe('jsonSchema', () => {
  const variants = {
    'as declared': users,
    'that refuses what is unknown': listQuery({
      sort: { name: 'name', email: 'email' },
      maxSorts: 2,
      unknown: 'reject',
      filter: { role: oneOf('admin'), tags: manyOf('a.b', 'vip'), team: int({ min: -7, max: 135 }), 'tags[]': text() },
    }),
    'that clamps': listQuery({ outOfRange: 'clamp', filter: { team: int(), active_only: flag() } }),
    'in camel case': listQuery({ casing: 'camel', filter: { search: text() } }),
  }

  it.each(Object.entries(variants))(
    'accepts the objects that parse accepts, and no others: a query %s',
    (_name, query) => {
      const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(query.jsonSchema())
      let accepted = 0
      fc.assert(
        fc.property(fc.oneof(anyObject, goodObject), (input) => {
          // No query string has a null: it comes from JSON, as in tRPC.
          fc.pre(!Object.values(input).includes(null))
          const parses = faulty(query, input).length === 0
          if (parses) accepted++
          expect(validate(input), JSON.stringify(validate.errors)).toBe(parses)
        }),
        { numRuns: numRuns * 2 },
      )
      expect(accepted).toBeGreaterThan(numRuns / 10)
    },
  )

  it.each(Object.entries(variants))(
    'means the same behind a validator that coerces and fills in defaults, as Fastify has it: a query %s',
    (_name, query) => {
      const fastify = { coerceTypes: 'array', useDefaults: true, allowUnionTypes: true } as const
      const validate = new Ajv(fastify).compile(query.jsonSchema())
      fc.assert(
        fc.property(fc.array(fc.tuple(names, texts), { maxLength: 4 }), (parameters) => {
          const input = querystring.parse(String(new URLSearchParams(parameters)))
          const validated = { ...input }
          expect(validate(validated), JSON.stringify(validate.errors)).toBe(faulty(query, input).length === 0)
          if (faulty(query, input).length === 0) expect(query.parse(validated)).toEqual(query.parse(input))
        }),
        { numRuns: numRuns * 2 },
      )
    },
  )

  it('is valid in the newest draft too, and is plain JSON', () => {
    const schema = users.jsonSchema()
    expect(new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema)({ page: '2' })).toBe(true)
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema)
  })

  it('says the defaults of the filters', () => {
    const { properties } = listQuery({
      filter: {
        a: flag({ default: true }),
        b: date({ default: new Date('2024-01-31') }),
        c: manyOf('x', { default: ['x'] }),
      },
    }).jsonSchema() as { properties: Record<string, { default?: unknown }> }
    expect(properties.a?.default).toBe(true)
    expect(properties.b?.default).toBe('2024-01-31T00:00:00.000Z')
    expect(properties.c?.default).toEqual(['x'])
  })

  it('leaves texts as they are in validators that coerce', () => {
    const validate = new Ajv({ coerceTypes: 'array', useDefaults: true, allowUnionTypes: true }).compile(
      users.jsonSchema(),
    )
    for (const input of [{ page: '1e3' }, { page: '0x10' }, { team: '1.0' }, { after: 1, before: 'x' }]) {
      expect(validate(input), JSON.stringify(input)).toBe(false)
    }
    const input = { page: '2', tags: 'vip', active_only: '1' }
    expect(validate(input)).toBe(true)
    expect(input).toMatchObject({ page: '2', tags: 'vip', active_only: '1' })
  })
})

describe('hostile input', () => {
  it('is parsed or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: character }), queryStrings, anyObject, fc.object()), (input) => {
        faulty(users, input)
      }),
      { numRuns },
    )
  })

  // Work that grows with the square of the length would take longer than a test may.
  it('of a megabyte is parsed or refused in time', () => {
    faulty(users, `sort=${'name,'.repeat(200_000)}`)
    faulty(users, `sort=${'name,-name,'.repeat(3)}`)
    faulty(users, `tags=${'vip,'.repeat(250_000)}`)
    faulty(users, `page=${'1'.repeat(1_000_000)}`)
    faulty(users, `since=2024-01-31T09:30:00.${'1'.repeat(1_000_000)}Z`)
    faulty(users, 'page=1&'.repeat(150_000))
  })
})

describe('what parsers and clients make of names', () => {
  const spec = {
    sort: { name: 'users.name', created: 'users.created_at' },
    filter: { 'filter[status]': oneOf('open', 'closed'), 'filter[by][id]': int() },
  } as const
  const parsers = {
    'URLSearchParams (Fastify, Hono)': (text: string) => new URLSearchParams(text),
    'qs (Express 4)': nested,
    text: String,
  }

  it.each(Object.entries(parsers))('finds filters with brackets as %s delivers them', (_name, parse) => {
    const input = parse('filter[status]=open&filter[by][id]=7&filter[other]=x')
    expect(listQuery(spec).parse(input).filter).toEqual({ 'filter[status]': 'open', 'filter[by][id]': 7 })
    expect(faulty(listQuery(spec), parse('filter[status]=none'))).toEqual(['filter[status]'])
    expect(faulty(listQuery({ ...spec, unknown: 'reject' }), input)).toEqual(['filter[other]'])
    expect(faulty(listQuery(spec), parse('filter[status]=open&filter[status]=closed'))).toEqual(['filter[status]'])
  })

  it.each(Object.entries(parsers))('takes a repeated sort as a list, as %s delivers it', (_name, parse) => {
    const wanted = listQuery(spec).parse('sort=-name,created').by
    for (const text of ['sort=-name&sort=created', 'sort[]=-name&sort[]=created']) {
      expect(listQuery(spec).parse(parse(text)).by).toEqual(wanted)
    }
    expect(faulty(listQuery(spec), parse('sort=name&sort=-name'))).toEqual(['sort'])
    expect(faulty(listQuery(spec), parse('sort=name&sort=password'))).toEqual(['sort'])
  })

  it('finds a filter beside a text of its first name, which qs makes a list', () => {
    const text = 'filter=x&filter[status]=closed'
    const input = { filter: ['x', { status: 'closed' }] }
    for (const given of [text, input]) {
      expect(listQuery(spec).parse(given).filter['filter[status]']).toBe('closed')
    }
  })

  it('takes what the client gave, nested, before the default that a validator filled in beside it', () => {
    const list = listQuery({ filter: { 'filter[status]': oneOf('open', 'closed', { default: 'open' }) } })
    const input = nested('filter[status]=closed')
    expect(new Ajv({ useDefaults: true, allowUnionTypes: true }).compile(list.jsonSchema())(input)).toBe(true)
    expect(input).toEqual({ filter: { status: 'closed' }, 'filter[status]': 'open' })
    expect(list.parse(input).filter).toEqual({ 'filter[status]': 'closed' })
  })

  it('takes null as absent', () => {
    const input = { page: null, per_page: null, sort: null, after: null, before: null, 'filter[status]': null }
    expect(listQuery(spec).parse(input)).toEqual(listQuery(spec).parse(''))
    expect(listQuery(spec).parse({ page: null, after: 'x' }).after).toBe('x')
  })

  it('takes other names for its own parameters, as JSON:API has them', () => {
    const api = listQuery({ ...spec, names: { page: 'page[number]', perPage: 'page[size]', after: 'page[after]' } })
    for (const parse of Object.values(parsers)) {
      expect(api.parse(parse('page[number]=3&page[size]=5'))).toMatchObject({ page: 3, perPage: 5, maxPerPage: 100 })
      expect(faulty(api, parse('page[number]=3&page[after]=x'))).toEqual(['page[number]'])
    }
    const { key } = api.parse('page[number]=3&page[size]=5')
    expect(api.parse(key).key).toBe(key)
    const page = { pagination: { page: 3, hasNext: true, hasPrev: true } }
    expect(linkHeader(page, '/users?page[number]=3&x=1', { page: 'page[number]' })).toContain(
      '</users?page%5Bnumber%5D=4&x=1>; rel="next"',
    )
    expect(() => listQuery({ names: { page: 'x', sort: 'x' } })).toThrow(TypeError)
    expect(() => listQuery({ names: { page: '' } })).toThrow(TypeError)
  })
})

/** Objects and lists of names with brackets, as `qs` makes them. */
function nested(text: string): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const [name, value] of new URLSearchParams(text)) {
    const path = name.split(/\[|\]\[?/).filter((part) => part !== '')
    let place = root
    for (const part of path.slice(0, -1)) {
      place[part] ??= {}
      place = place[part] as Record<string, unknown>
    }
    const last = path.at(-1) as string
    const isList = name.endsWith('[]') || last in place
    place[last] = isList ? [place[last] ?? [], value].flat() : value
  }
  return root
}
