import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ColumnType, columnTypes, sessionModes } from './support/column-types.ts'
import { engines, type Opened } from './support/engines.ts'
import { createTypedTables, runTypedWalk, type TypedWalk, typedWalks } from './support/typed-walks.ts'

const numRuns = Number(process.env.RUNS ?? 60)
const seed = Number(process.env.SEED ?? 17)

const plain = {
  computed: -1,
  isDescending: false,
  nulls: 'first',
  isUniqueDescending: false,
  hasLeadingKey: false,
  ownOrder: false,
  plugin: false,
  signed: false,
  shape: 'raw',
  reads: 'id',
} as const

/** Walks that once gave wrong pages or blamed the client's cursor, by the type of their key on MariaDB. */
const found: readonly (readonly [ddl: string, walk: Omit<TypedWalk, 'type'>])[] = [
  [
    "set('3','2','1','x')",
    { ...plain, picks: [5, 8, 19, 11, 6, 17, 3], perPage: 4, direction: 'backward', settings: [1] },
  ],
  // The number of '2' is 2.
  [
    "set('3','2','1','x')",
    {
      ...plain,
      picks: [-1, 15, 11, 17, 20, 0, 0, 15, 13],
      perPage: 7,
      nulls: 'last',
      isUniqueDescending: true,
      hasLeadingKey: true,
      direction: 'backward',
      settings: [0],
    },
  ],
  ["set('b','a','c')", { ...plain, picks: [19, 17, 17, 18], perPage: 3, direction: 'rows', settings: [1, 2] }],
  [
    'timestamp(6) null',
    { ...plain, computed: 0, picks: [-1, 3, 12, 18, 14, 5, 5, 11], perPage: 3, direction: 'rows', settings: [0, 2, 3] },
  ],
]

/** Several zero times at the end of a descending list. */
const zeroTimes: Omit<TypedWalk, 'type' | 'picks'> = {
  ...plain,
  isDescending: true,
  nulls: 'last',
  perPage: 2,
  direction: 'forward',
  settings: [0],
}

/** Walks over every column type with its edge values, each page by a session with other settings. */
describe.each(engines)('$name', ({ name, server, available, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await createTypedTables(opened.db, server)
  })
  afterAll(() => opened?.close(), 60_000)

  test.skipIf(!available)(
    'pages over every type are the list in its order, or are refused with a code',
    async () => {
      const wrong = new Map<string, { walk: TypedWalk; detail: string; count: number }>()
      const refused = new Map<string, number>()
      let walked = 0
      for (const walk of fc.sample(typedWalks(server), { numRuns, seed })) {
        const outcome = await runTypedWalk(opened.db, server, walk)
        walked++
        if (outcome.kind === 'right') continue
        const ddl = columnTypes[server][walk.type]?.ddl ?? ''
        const key = `${ddl} ${columnTypes[server][walk.type]?.computed?.[walk.computed] ?? ''}`
        // Whether it depends on the zone is not known of raw SQL, and a function of an instant does.
        const mayBeZoned = walk.shape === 'raw' || /timestamp/i.test(key)
        if (outcome.kind === 'refused' && mayBeZoned && outcome.detail.includes('time zone')) continue
        if (outcome.kind === 'refused')
          refused.set(`${key} ${outcome.detail}`, (refused.get(`${key} ${outcome.detail}`) ?? 0) + 1)
        else wrong.set(key, { walk, detail: outcome.detail, count: (wrong.get(key)?.count ?? 0) + 1 })
      }
      if (process.env.RUNS) console.log(name, walked, 'walks, refused', refused)
      expect(
        [...wrong].map(
          ([key, { detail, count, walk }]) => `${key}: ${count} times, ${detail}\n${JSON.stringify(walk)}`,
        ),
      ).toEqual([])
      const refusals = [...refused.values()].reduce((sum, count) => sum + count, 0)
      expect(refusals).toBeLessThan(Math.max(3, walked * 0.03))
    },
    600_000,
  )

  test.skipIf(!available || sessionModes[server] === undefined).each(sessionModes[server] ?? [''])(
    'pages by columns of every type are the list in its order after: %s',
    async (mode) => {
      for (const sampled of fc.sample(typedWalks(server), { numRuns, seed })) {
        const { ddl } = columnTypes[server][sampled.type] as ColumnType
        // Of raw SQL, it is not known that a column is an ENUM. A temporary table has a date with a zero part as the zero date.
        const isOpen = sampled.shape === 'raw' ? /enum|set/.test(ddl) : mode.includes('TRADITIONAL') && ddl === 'date'
        const shape = isOpen ? 'plain' : sampled.shape
        const walk = { ...sampled, shape, computed: -1 }
        const outcome = await runTypedWalk(opened.db, server, walk, mode)
        expect(outcome, `${ddl} ${JSON.stringify(walk)}`).toEqual({ kind: 'right' })
      }
    },
    600_000,
  )

  test.skipIf(!available || server !== 'mariadb').each(found)(
    'a list by %s of raw SQL is right, or refused on the page before',
    async (ddl, walk) => {
      const type = columnTypes.mariadb.findIndex((one) => one.ddl === ddl)
      const outcome = await runTypedWalk(opened.db, 'mariadb', { ...walk, type })
      expect(outcome).toMatchObject({ kind: expect.stringMatching(/^(right|refused)$/) })
    },
  )

  test.skipIf(!available || sessionModes[server] === undefined).each(sessionModes[server] ?? [''])(
    'a list ends in its zero times after: %s',
    async (mode) => {
      for (const name of server === 'mysql' ? ['timestamp(6) null'] : ['timestamp(6) null', 'datetime(6)']) {
        const type = columnTypes[server].findIndex(({ ddl }) => ddl === name)
        const zero = columnTypes[server][type]?.values.findIndex((value) => value.includes('0000-00-00')) as number
        const picks = [zero, zero, zero, 0, zero === 1 ? 2 : 1]
        for (const shape of server === 'mysql' ? (['grouped'] as const) : (['plain', 'grouped', 'raw'] as const)) {
          const outcome = await runTypedWalk(opened.db, server, { ...zeroTimes, shape, type, picks }, mode)
          expect(outcome, `${name} ${shape}`).toEqual({ kind: 'right' })
        }
      }
    },
  )
})
