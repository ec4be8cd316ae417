import fc from 'fast-check'
import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SqlDialect } from '../../src/pagination/types.ts'
import { engines, type Opened, type Untyped } from './support/engines.ts'
import { flatQuery, keyOf, plainQuery, type Query, type Source, shapes, sources } from './support/query-shapes.ts'
import { shapeColumns, shapeExpressions } from './support/shape-keys.ts'
import { idsOf, nativeNulls } from './support/walking.ts'

const numRuns = Number(process.env.RUNS ?? 20)
const seed = Number(process.env.SEED ?? 17)

const { cursorPaginate, paginate, readChunks } = createPaginator({ onWarn: () => {} })

interface Key {
  readonly text: string
  readonly dir: 'asc' | 'desc'
  readonly nulls: 'first' | 'last'
}

interface Walk {
  readonly keys: readonly Key[]
  readonly source: string
  readonly shape: string
  readonly ask: 'alias' | 'column' | 'expression' | 'own order'
  readonly way: 'forward' | 'backward' | 'jump' | 'chunks' | 'numbered'
  readonly perPage: number
}

const isColumn = (text: string) => /^\w\.\w+$/.test(text)

function walksOf(dialect: Exclude<SqlDialect, 'mssql'>, server: string): fc.Arbitrary<Walk> {
  const columns = Object.keys(shapeColumns[dialect]).map((column) => `x.${column}`)
  const lacks = (name: string) => sources[name]?.lacks?.some((one) => [dialect, server].includes(one))
  const key = fc.record({
    text: fc.constantFrom(...columns, ...shapeExpressions[dialect]),
    dir: fc.constantFrom('asc' as const, 'desc' as const),
    nulls: fc.constantFrom('first' as const, 'last' as const),
  })
  const walk: fc.Arbitrary<Walk> = fc.record({
    keys: fc.array(key, { minLength: 1, maxLength: 3 }),
    source: fc.constantFrom(...Object.keys(sources).filter((name) => !lacks(name))),
    shape: fc.constantFrom(...Object.keys(shapes)),
    ask: fc.constantFrom(...(['alias', 'alias', 'column', 'expression', 'own order'] as const)),
    way: fc.constantFrom(...(['forward', 'backward', 'jump', 'chunks', 'numbered'] as const)),
    perPage: fc.integer({ min: 1, max: 9 }),
  })
  const asColumns = (walk: Walk): Walk => {
    const keys = walk.keys.filter(({ text }) => isColumn(text))
    const isPossible = keys.length > 0 && isColumn((sources[walk.source] as Source).id)
    return isPossible ? { ...walk, keys, shape: 'flat' } : { ...walk, ask: 'alias' }
  }
  // A full join leaves `h.id` NULL in some rows, which a window in its order may take in any order.
  const inOneOrder = (walk: Walk): Walk => {
    const { id } = sources[walk.source] as Source
    return {
      ...walk,
      keys: walk.keys.map((key) => ({ ...key, text: key.text.replace(/(order by .*)h\.id/, `$1${id}`) })),
    }
  }
  return walk.map((sampled) => inOneOrder(sampled.ask === 'column' ? asColumns(sampled) : sampled))
}

/** 26 rows, whose values look random. */
async function createTables(db: Untyped, dialect: Exclude<SqlDialect, 'mssql'>): Promise<void> {
  const run = (text: string) => sql.raw(text).execute(db)
  if (dialect === 'postgres') {
    await run("create type mood as enum ('sad', 'ok', 'happy')")
    await run('create domain even as int check (value % 2 = 0)')
  }
  const columns = Object.entries(shapeColumns[dialect])
  const ddls = columns.map(
    ([name, [ddl]]) => `${name} ${ddl}${dialect === 'mysql' && !/null/.test(ddl) ? ' null' : ''}`,
  )
  await run(`create table shape_rows (id int not null primary key, w int not null, ${ddls.join(', ')})`)
  await run('create table shape_ids (id int not null primary key, w int not null)')
  for (let id = 1; id <= 26; id++) {
    const values = columns.map(([, [, ...values]], at) => {
      const pick = Math.floor((Math.abs(Math.sin(id * 12.9898 + at * 78.233 + seed) * 43758.5453) % 1) * 1e6)
      return pick % 5 === 0 ? 'null' : values[pick % values.length]
    })
    const w = ((id * 7) % 5) + 1
    await run(`insert into shape_rows values (${id}, ${w}, ${values.join(', ')})`)
    await run(`insert into shape_ids values (${id}, ${w})`)
  }
  await run('create view shape_view as select * from shape_rows where id < 25')
  await run(
    'create view shape_union as select * from shape_rows where id < 4 union all select * from shape_rows where id between 4 and 23',
  )
}

/** The list as the database has it: the order is that of the query itself, or of a query over a combined or grouped one. */
function listOf(db: Untyped, query: Query, { keys, shape }: Walk, { id }: Source, dialect: SqlDialect): Query {
  const isFlat = shape === 'flat'
  const terms = keys.map(({ text, dir, nulls }, at) => {
    const key = isFlat ? `(${text})` : `k${at}`
    const isNull = dialect === 'mysql' ? `${key} <=> null` : `${key} is null`
    return `case when ${isNull} then ${nulls === 'first' ? 0 : 2} else 1 end, ${key} ${dir}`
  })
  const order = sql.raw([...terms, `${isFlat ? id : 'id'} ${keys.at(-1)?.dir}`].join(', '))
  return isFlat ? query.orderBy(order) : db.selectFrom(query.as('o')).select('id').orderBy(order)
}

/** The query and the options by which it is paged. */
function askedFor(db: Untyped, query: Query, { keys, ask, shape }: Walk, source: Source): [Query, object] {
  if (ask === 'own order') {
    return [keys.reduce((ordered, { dir }, at) => ordered.orderBy(`k${at}`, dir), query), { unique: 'id' }]
  }
  if (ask === 'column') {
    const texts = keys.map(({ text }) => text)
    const by = keys.map(({ text, dir, nulls }) => ({ key: text, dir, nulls }))
    return [plainQuery(db, source, texts), { by, unique: source.id }]
  }
  const by = keys.map(({ text, dir, nulls }, at) =>
    ask === 'expression' && shape === 'flat' ? { expr: keyOf(text), dir, nulls } : { key: `k${at}`, dir, nulls },
  )
  return [query, { by, unique: 'id' }]
}

async function pagesOf(query: Query, options: object, { way, perPage }: Walk, total: number): Promise<number[]> {
  const seen: number[] = []
  if (way === 'chunks') {
    for await (const { rows } of readChunks(query, { ...options, size: perPage } as never)) {
      seen.push(...idsOf(rows))
      if (seen.length > total) break
    }
    return seen
  }
  if (way === 'numbered') {
    for (let page = 1; ; page++) {
      const { items, pagination } = await paginate(query, { ...options, page, perPage } as never)
      seen.push(...idsOf(items))
      expect(pagination).toMatchObject({ total })
      if (!pagination.hasNext) return seen
    }
  }
  const isBackward = way === 'backward'
  let cursor: string | null = null
  do {
    const side: object = isBackward ? { before: cursor, from: 'end' } : { after: cursor }
    const jump = way === 'jump' ? { jump: 2 } : {}
    const page = await cursorPaginate(query, { ...options, ...side, ...jump, perPage, total: 'exact' } as never)
    const { pagination } = page
    expect(pagination).toMatchObject({ total, [isBackward ? 'hasNext' : 'hasPrev']: seen.length > 0 })
    seen[isBackward ? 'unshift' : 'push'](...idsOf(page.items))
    cursor = isBackward ? pagination.prev : pagination.next
    const target = (pagination as { jump?: { after: string }[] }).jump?.[1]
    if (target === undefined) continue
    const skipped = await cursorPaginate(query, { ...options, after: cursor, perPage } as never)
    seen.push(...idsOf(skipped.items))
    cursor = target.after
  } while (cursor !== null && seen.length <= total)
  return seen
}

describe.each(engines)('$name', ({ name, dialect: anyDialect, available, open }) => {
  const dialect = anyDialect as Exclude<SqlDialect, 'mssql'>
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await createTables(opened.db, dialect)
  }, 60_000)
  afterAll(() => opened?.close(), 60_000)

  test.skipIf(!available)(
    'pages of joins, unions, groups and derived tables are the list in its order, or are refused with a code',
    async () => {
      const { db } = opened
      const wrong: string[] = []
      const refused: string[] = []
      let walked = 0
      for (const sampled of fc.sample(walksOf(dialect, name), { numRuns, seed })) {
        const isOwn = sampled.ask === 'own order'
        const keys = sampled.keys.map(
          (key): Key => (isOwn ? { ...key, nulls: nativeNulls(dialect, key.dir === 'desc') } : key),
        )
        const walk = { ...sampled, keys }
        const texts = keys.map(({ text }) => text)
        const source = sources[walk.source] as Source
        const query = (shapes[walk.shape] as (typeof shapes)[string])(db, flatQuery(db, source, texts), texts, source)
        const list = await listOf(db, query, walk, source, dialect)
          .execute()
          .catch(() => undefined)
        // The database has no such list: a union of types that do not fit, a window function in a group.
        if (list === undefined) continue
        const expected = idsOf(list)
        walked++
        const [asked, options] = askedFor(db, query, walk, source)
        const seen = await pagesOf(asked, options, walk, expected.length).catch(
          (error: { code?: string; message: string }) => {
            const isRefused = /^ERR_(CURSOR_UNSTABLE|QUERY_UNSUPPORTED)$/.test(error.code ?? '')
            if (isRefused) refused.push(`${JSON.stringify(walk)}: ${error.message}`)
            return isRefused ? expected : `${error.code} ${error.message}`
          },
        )
        if (String(seen) !== String(expected)) {
          wrong.push(`${JSON.stringify(walk)}: saw ${seen}, expected ${expected}`)
        }
      }
      if (process.env.RUNS) console.log(name, walked, 'walks, refused', refused)
      expect(wrong).toEqual([])
      expect(walked).toBeGreaterThan(numRuns * 0.5)
      expect(refused.length).toBeLessThan(Math.max(3, walked * 0.03))
    },
    1_200_000,
  )
})
