import fc from 'fast-check'
import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { columnTypes, ownTypes } from './support/column-types.ts'
import { engines, type Opened, type Untyped } from './support/engines.ts'
import { pagesOf, type Query } from './support/walking.ts'

const numRuns = Number(process.env.RUNS ?? 100)
const seed = Number(process.env.SEED ?? 17)

/**
 * Values that are worked out of groups, for each dialect, which no plan may change: lists of values are in an order without ties.
 * Where the database refuses one for a type, there is no such list.
 */
const aggregates: Readonly<Record<string, readonly string[]>> = {
  postgres: [
    ...['min(k)', 'max(k)', 'count(k)', 'sum(k)', 'avg(k)', 'stddev(k)', 'array_agg(k order by k, id)', 'range_agg(k)'],
    ...["string_agg(k::text, ',' order by k, id)", '(array_agg(k order by k, id))[1]', 'bit_or(k)'],
    ...['json_agg(k order by id)::text'],
    ...[
      'mode() within group (order by k)',
      'percentile_cont(0.5) within group (order by k)',
      'max(k) over (order by g)',
    ],
  ],
  mysql: [
    ...['min(k)', 'max(k)', 'count(k)', 'sum(k)', 'avg(k)', 'stddev(k)', 'group_concat(k order by k, id)', 'bit_or(k)'],
    ...[
      'json_array(min(k), max(k))',
      'max(k) + 0',
      'concat(max(k))',
      'coalesce(max(k), min(k))',
      'max(date(k))',
      'max(time(k))',
    ],
    ...['sum(k) / 3', 'max(cast(k as decimal(10,3)))', 'max(unix_timestamp(k))', 'round(avg(k), 1)', 'max(lower(k))'],
  ],
  sqlite: [
    ...['min(k)', 'max(k)', 'count(k)', 'sum(k)', 'avg(k)', 'total(k)', 'max(k) + 1', 'max(k) || 1'],
    ...["group_concat(k, ',' order by id)", 'json_group_array(k order by id)', 'max(hex(k))'],
  ],
}

/** The groups with their value `v`: as the query itself, in a query over it, or computed once more there. */
const shapes = {
  grouped: (db: Untyped, value: string) => groups(db, value),
  derived: (db: Untyped, value: string) => db.selectFrom(groups(db, value).as('d')).select(['d.g', 'd.v']) as Query,
  computed: (db: Untyped, value: string) => db.selectFrom(groups(db, value).as('d')).select(['d.g']) as Query,
}

function groups(db: Untyped, value: string): Query {
  return db
    .selectFrom('items')
    .groupBy('g')
    .select(['g', sql.raw(value).as('v')]) as Query
}

describe.each(engines)('$name', ({ dialect, server, available, open }) => {
  let opened: Opened
  let filledWith: number | undefined

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    if (dialect === 'postgres') for (const statement of ownTypes) await sql.raw(statement).execute(opened.db)
  })
  afterAll(() => opened?.close(), 60_000)

  const walks = fc.record({
    type: fc.nat({ max: columnTypes[server].length - 1 }),
    value: fc.constantFrom(...(aggregates[dialect] as string[])),
    shape: fc.constantFrom(...(Object.keys(shapes) as (keyof typeof shapes)[])),
    isDescending: fc.boolean(),
    nulls: fc.constantFrom('first' as const, 'last' as const),
    perPage: fc.integer({ min: 1, max: 4 }),
  })

  /** Nine groups of one to three rows; one has no values. */
  const fill = async (type: number) => {
    if (type === filledWith) return
    const { ddl, values } = columnTypes[server][type] as (typeof columnTypes)[typeof server][number]
    const mayBeNull = dialect === 'mysql' && !/null/.test(ddl) ? ' null' : ''
    await sql`drop table if exists items`.execute(opened.db)
    await sql.raw(`create table items (id int primary key, g int not null, k ${ddl}${mayBeNull})`).execute(opened.db)
    const rows: string[] = []
    for (let group = 0; group < 9; group++) {
      for (let at = 0; at <= (group * 7) % 3; at++) {
        const value = group === 4 ? 'null' : values[(group * 5 + at * 3 + group * group) % values.length]
        rows.push(`(${rows.length + 1}, ${group}, ${value})`)
      }
    }
    // MySQL refuses zero dates otherwise.
    const insert = dialect === 'mysql' ? 'insert ignore' : 'insert'
    await sql.raw(`${insert} into items values ${rows.join(', ')}`).execute(opened.db)
    filledWith = type
  }

  async function groupsInPages(query: Query, by: object[], perPage: number): Promise<number[]> {
    const pager = createPaginator({ onWarn: () => {} })
    const seen: number[] = []
    for await (const page of pagesOf(pager, query, { by, unique: 'g', perPage })) {
      seen.push(...page.map((item) => Number((item as { g: unknown }).g)))
      if (seen.length >= 20) break
    }
    return seen
  }

  test.skipIf(!available)(
    'pages of groups by what is worked out of them are the list in its order, or are refused with a code',
    async () => {
      const wrong: string[] = []
      const sampled = fc.sample(walks, { numRuns, seed }).sort((left, right) => left.type - right.type)
      let walked = 0
      for (const { type, value, shape, isDescending, nulls, perPage } of sampled) {
        await fill(type)
        const dir = isDescending ? 'desc' : 'asc'
        const expr = shape === 'computed' ? (dialect === 'mysql' ? 'round(v, 2)' : 'coalesce(v, v)') : 'v'
        const isNull = dialect === 'mysql' ? `${expr} <=> null` : `${expr} is null`
        const order = `case when ${isNull} then ${nulls === 'first' ? 0 : 1} else ${nulls === 'first' ? 1 : 0} end, ${expr} ${dir}`
        const list = sql.raw<{ g: number }>(
          `select g from (select g, ${value} as v from items group by g) d order by ${order}, g`,
        )
        const expected = await list.execute(opened.db).then(
          ({ rows }) => rows.map(({ g }) => Number(g)),
          () => undefined,
        )
        if (expected === undefined) continue
        walked++
        const by = shape === 'computed' ? { expr: sql.raw(expr), dir, nulls } : { key: 'v', dir, nulls }
        const seen = await groupsInPages(shapes[shape](opened.db, value), [by, { key: 'g' }], perPage).catch(
          (error: { code?: string; message: string }) => (/^ERR_/.test(error.code ?? '') ? expected : error.message),
        )
        // The driver reads as JSON what the server wrote of such values.
        if (typeof seen === 'string' && /JSON/.test(seen)) continue
        if (String(seen) !== String(expected)) {
          const { ddl } = columnTypes[server][type] as { ddl: string }
          wrong.push(`${ddl}, ${value}, ${shape}, ${dir}, nulls ${nulls}: saw ${seen}, expected ${expected}`)
        }
      }
      expect(wrong).toEqual([])
      expect(walked).toBeGreaterThan(numRuns / 4)
    },
    600_000,
  )
})
