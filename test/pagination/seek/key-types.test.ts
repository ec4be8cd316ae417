import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened } from '../support/engines.ts'

const pglite = engines.find(({ name }) => name === 'PGlite') as (typeof engines)[number]
const pager = createPaginator({ secret: 'a secret', onWarn: () => {} })

describe('the type of a key on PostgreSQL', () => {
  let opened: Opened

  beforeAll(async () => {
    opened = await pglite.open()
    for (const ddl of [
      'create domain counted as int check (value > 0)',
      `create type size as enum ('small', 'big', 'huge', 'vast')`,
    ]) {
      await sql.raw(ddl).execute(opened.db)
    }
  })
  afterAll(() => opened.close(), 60_000)

  let made = 0
  /** Each with a key of another name: what is known of one order holds for all of the same name. */
  const fill = async (type: string, value: string) => {
    const key = `k${++made}`
    await sql`drop table if exists things`.execute(opened.db)
    await sql.raw(`create table things (${key} ${type} primary key)`).execute(opened.db)
    await sql.raw(`insert into things select ${value} from generate_series(1, 4) n`).execute(opened.db)
    opened.statements()
    const query = () => opened.db.selectFrom('things').select(`${key} as key`)
    return {
      key,
      page: (after?: string | null) => pager.cursorPaginate(query(), { unique: key as never, perPage: 1, after }),
    }
  }
  /** For each statement, whether it looks at the catalogue of types. */
  const looksAtTypes = () => opened.statements().map((statement) => statement.includes('pg_catalog.pg_type'))
  const keysOf = (...pages: readonly { readonly items: readonly object[] }[]) =>
    pages.flatMap(({ items }) => items.map((item) => (item as { key: unknown }).key))
  const firstTwo = async (key: string) => {
    const query = sql<{ key: unknown }>`select ${sql.ref(key)} as key from things order by 1 limit 2`
    return (await query.execute(opened.db)).rows.map(({ key }) => key)
  }

  it.each([
    ['int', 'n'],
    ['numeric(10, 2)', 'n'],
    ['uuid', "lpad(n::text, 32, '0')::uuid"],
    ['timestamptz[]', 'array[to_timestamp(n)]'],
    ['regconfig', "(array['simple', 'english', 'german', 'french']::regconfig[])[n]"],
    ['regdictionary', "(array['simple', 'english_stem', 'german_stem', 'french_stem']::regdictionary[])[n]"],
    ['regcollation', `(array['"C"', '"POSIX"', 'ucs_basic', '"default"']::regcollation[])[n]`],
    ['regoperator', "(array['+(int4,int4)', '-(int4,int4)', '*(int4,int4)', '/(int4,int4)']::regoperator[])[n]"],
    ['regoper', "(array['96', '97', '98', '99']::regoper[])[n]"],
    ['oidvector', "(case n when 1 then '' else '7 ' || n end)::oidvector"],
  ])('comes with the key: %s', async (type, value) => {
    const { page, key } = await fill(type, value)
    const first = await page()
    const second = await page(first.pagination.next)
    expect(looksAtTypes()).toEqual([false, false])
    expect(keysOf(first, second)).toEqual(await firstTwo(key))
  })

  it.each([
    ['counted', 'n'],
    ['size', '(enum_range(null::size))[n]'],
    ['size[]', 'array[(enum_range(null::size))[n]]'],
  ])('is looked up when it is the user’s own, which the first row tells: %s', async (type, value) => {
    const { page, key } = await fill(type, value)
    const first = await page()
    const second = await page(first.pagination.next)
    const again = await page()
    expect(looksAtTypes()).toEqual([false, true, true, true])
    expect(keysOf(first, second)).toEqual(await firstTwo(key))
    expect(again).toEqual(first)
  })

  it.each(['bigint', 'counted'])('may change during a walk: to %s', async (type) => {
    const { page, key } = await fill('int', 'n')
    const first = await page()
    await sql`alter table things alter column ${sql.ref(key)} type ${sql.raw(type)}`.execute(opened.db)
    const second = await page(first.pagination.next)
    const third = await page(second.pagination.next)
    expect(keysOf(first, second, third).map(Number)).toEqual([1, 2, 3])
  })

  /** A type that sorts as integers do, by operators of these names. */
  const createType = async (name: string, operators: readonly string[], send: string) => {
    const create = (kind: string, rest: string) => sql.raw(`create ${kind} ${name}${rest}`).execute(opened.db)
    const define = (suffix: string, args: string, returns: string, internal: string) =>
      create('function', `_${suffix}(${args}) returns ${returns} as '${internal}' language internal immutable strict`)
    await create('type', '')
    await define('in', 'cstring', name, 'int4in')
    await define('out', name, 'cstring', 'int4out')
    await define('send', name, 'bytea', 'int4send')
    await create('type', `(input = ${name}_in, output = ${name}_out, ${send} like = int4)`)
    await define('cmp', `${name}, ${name}`, 'int', 'btint4cmp')
    const members = operators.map((operator, at) => `operator ${at + 1} ${operator}`)
    for (const [at, operator] of operators.entries()) {
      const suffix = ['lt', 'le', 'eq', 'ge', 'gt'][at] as string
      await define(suffix, `${name}, ${name}`, 'bool', `int4${suffix}`)
      const ddl = `create operator ${operator} (leftarg = ${name}, rightarg = ${name}, function = ${name}_${suffix})`
      await sql.raw(ddl).execute(opened.db)
    }
    const rest = `_ops default for type ${name} using btree as ${members.join(', ')}, function 1 ${name}_cmp(${name}, ${name})`
    await create('operator class', rest)
  }

  it('is exact for a base type that is compared by its own operators, or by those of the type that it is cast to', async () => {
    await createType('usual', ['<', '<=', '=', '>=', '>'], 'send = usual_send,')
    await sql`create type castable`.execute(opened.db)
    for (const ddl of [
      `create function castable_in(cstring) returns castable as 'int4in' language internal immutable strict`,
      `create function castable_out(castable) returns cstring as 'int4out' language internal immutable strict`,
      `create function castable_send(castable) returns bytea as 'int4send' language internal immutable strict`,
      `create type castable (input = castable_in, output = castable_out, send = castable_send, like = int4)`,
      `create cast (castable as int4) without function as implicit`,
    ]) {
      await sql.raw(ddl).execute(opened.db)
    }
    for (const type of ['usual', 'castable']) {
      const { page, key } = await fill(type, `n::text::${type}`)
      const first = await page()
      const second = await page(first.pagination.next)
      expect(keysOf(first, second)).toEqual(await firstTwo(key))
    }
  })

  it('is refused for a type that is sorted by operators of other names, as hstore is', async () => {
    await createType('unusual', ['#<#', '#<=#', '#=#', '#>=#', '#>#'], 'send = unusual_send,')
    const { page, key } = await fill('unusual', 'n::text::unusual')
    const refused = { code: 'ERR_QUERY_UNSUPPORTED', message: expect.stringContaining(`\`${key}\``) }
    await expect(page()).rejects.toMatchObject(refused)
  })

  it.each(['size_of_size', 'size_of_that'])(
    'is refused for a domain over an enum, which PostgreSQL sorts but cannot compare: %s',
    async (type) => {
      if (type === 'size_of_size') {
        await sql`create domain size_of_size as size`.execute(opened.db)
        await sql`create domain size_of_that as size_of_size`.execute(opened.db)
      }
      const { page, key } = await fill(type, '(enum_range(null::size))[n]')
      const message = expect.stringContaining(`\`${key}\``)
      await expect(page()).rejects.toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED', message })
    },
  )

  it.each(['elsewhere.hidden', 'elsewhere.under_hidden', 'elsewhere.castable'])(
    'is refused for a type whose operators are not on the search path, as those of citext may be: %s',
    async (type) => {
      if (type === 'elsewhere.hidden') {
        await sql`create schema elsewhere`.execute(opened.db)
        const operators = ['elsewhere.<', 'elsewhere.<=', 'elsewhere.=', 'elsewhere.>=', 'elsewhere.>']
        for (const name of [type, 'elsewhere.castable']) await createType(name, operators, `send = ${name}_send,`)
        await sql`create domain elsewhere.under_hidden as elsewhere.hidden`.execute(opened.db)
        await sql`create cast (elsewhere.castable as int4) without function as implicit`.execute(opened.db)
      }
      const { page, key } = await fill(type, `n::text::${type}`)
      const message = expect.stringMatching(`\`${key}\`.*\`search_path\``)
      await expect(page()).rejects.toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED', message })
      await sql`set search_path = public, elsewhere`.execute(opened.db)
      const first = await page()
      const second = await page(first.pagination.next)
      expect(keysOf(first, second)).toEqual(await firstTwo(key))
      await sql`reset search_path`.execute(opened.db)
    },
  )

  it.each(['sealed', 'sealed[]'])(
    'is refused for a type that has no binary form, as isbn13 has none: %s',
    async (type) => {
      if (type === 'sealed') await createType('sealed', ['<', '<=', '=', '>=', '>'], '')
      const { page, key } = await fill(type, type === 'sealed' ? 'n::text::sealed' : 'array[n::text::sealed]')
      const refused = { code: 'ERR_QUERY_UNSUPPORTED', message: expect.stringContaining(`\`${key}\``) }
      await expect(page()).rejects.toMatchObject(refused)
    },
  )

  it('gives an error for a value that has no text', async () => {
    const { page } = await fill('"char"', '(n - 126)::int::"char"')
    await expect(page()).rejects.toMatchObject({ code: 'ERR_CURSOR_UNSTABLE' })
  })

  describe('that a migration changes between two pages', () => {
    const changeTo = async (before: string, after: string, value: string) => {
      await sql`set timezone = 'America/New_York'`.execute(opened.db)
      const { page, key } = await fill(before, value)
      const { pagination } = await page()
      const converted = {
        timestamptz: `${key}::timestamp at time zone 'UTC'`,
        timestamp: `${key} ${before === 'date' ? '' : "at time zone 'UTC'"}`,
      }[after]
      const cast = `using ${converted ?? `${key}::text::${after}`}`
      await sql.raw(`alter table things alter ${key} type ${after} ${cast}`).execute(opened.db)
      const wanted = (await firstTwo(key)).slice(1)
      const rest = page(pagination.next).then(
        (second) => [keysOf(second), wanted],
        (error: { code?: string }) => error.code,
      )
      return rest.finally(() => sql`reset timezone`.execute(opened.db))
    }

    it.each([
      ['int', 'bigint', 'n'],
      ['bigint', 'numeric(12, 2)', 'n'],
      ['real', 'double precision', 'n + 0.5'],
      ['varchar(9)', 'text', "'k' || n"],
      ['text', 'varchar(9)', "'k' || n"],
      ['text', 'char(9)', "'k' || n"],
      ['date', 'timestamp', "date '2026-01-01' + n"],
      ['size', 'other_size', "(array['small', 'big', 'huge', 'vast']::size[])[n]"],
      ['int', 'counted', 'n'],
      ['counted', 'bigint', 'n'],
    ])('goes on in the same order: %s to %s', async (before, after, value) => {
      if (after === 'other_size') {
        await sql`create type other_size as enum ('small', 'big', 'more', 'huge', 'vast')`.execute(opened.db)
      }
      const [seen, wanted] = (await changeTo(before, after, value)) as [unknown, unknown]
      expect(seen).toEqual(wanted)
    })

    it.each([
      ['timestamp', 'timestamptz', "timestamp '2026-01-01' + n * interval '1 hour'"],
      ['timestamptz', 'timestamp', "timestamptz '2026-01-01 00:00Z' + n * interval '1 hour'"],
      ['date', 'timestamptz', "date '2026-01-01' + n"],
      ['size', 'text', "(array['small', 'big', 'huge', 'vast']::size[])[n]"],
    ])('refuses a cursor that may stand elsewhere in the other order: %s to %s', async (before, after, value) => {
      expect(await changeTo(before, after, value)).toBe('ERR_CURSOR_MISMATCH')
    })
  })
})
