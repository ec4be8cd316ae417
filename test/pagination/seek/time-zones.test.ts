import fc from 'fast-check'
import { type ExpressionBuilder, type RawBuilder, sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findBinary, type Server, startMariadb } from '../../support/servers.ts'
import { columnTypes } from '../support/column-types.ts'
import { engines, type Opened, openMysql, type Untyped } from '../support/engines.ts'
import { createTypedTables, runTypedWalk, typedWalks } from '../support/typed-walks.ts'

const { cursorPaginate } = createPaginator({ onWarn: () => {} })

/** Seconds from UTC in the winter and in the summer. */
const zones = [
  ['Europe/Berlin', 3_600, 7_200],
  ['Antarctica/Troll', 0, 7_200],
] as const

/** A server may have no time zones but offsets, so the tables of a server of the test's own get some. */
async function addZones(db: Untyped): Promise<void> {
  for (const [at, [name, winter, summer]] of zones.entries()) {
    const id = at + 1
    const begin = Date.UTC(2026, 2, 29, 1) / 1_000
    const end = Date.UTC(2026, 9, 25, 1) / 1_000
    await sql`insert into mysql.time_zone (time_zone_id) values (${id})`.execute(db)
    await sql`insert into mysql.time_zone_name values (${name}, ${id})`.execute(db)
    await sql`insert into mysql.time_zone_transition_type values (${id}, 0, ${winter}, 0, 'W'), (${id}, 1, ${summer}, 1, 'S')`.execute(
      db,
    )
    await sql`insert into mysql.time_zone_transition values (${id}, ${begin}, 1), (${id}, ${end}, 0)`.execute(db)
  }
}

type Expression = RawBuilder<unknown> | ((eb: ExpressionBuilder<Record<string, never>, never>) => unknown)

/** A server of the test's own, which has time zones for sure. */
async function openMariadb(): Promise<Opened> {
  const server = (await startMariadb()) as Server
  const opened = await openMysql(server.url)
  await addZones(opened.db)
  return { ...opened, close: () => opened.close().then(() => server.stop()) }
}

const servers = [
  { name: 'MariaDB', server: 'mariadb', available: findBinary('mariadbd') !== undefined, open: openMariadb },
  ...engines.filter(({ server }) => server === 'mysql'),
] as const

const chosen = servers.filter(({ available }) => available)

describe.skipIf(chosen.length > 0)('keys in time zones', () => {
  it.skip('need a server of MariaDB or MySQL', () => {})
})

describe.each(chosen)('keys in time zones on $name', ({ server, open }) => {
  let opened: Opened
  let db: Untyped

  beforeAll(async () => {
    opened = await open()
    db = opened.db
    const { rows } = await sql<{
      zone: unknown
    }>`select convert_tz('2026-01-01', '+00:00', 'Antarctica/Troll') as zone`.execute(db)
    if (rows[0]?.zone === null) await addZones(db)
    await sql`create table events (
      id int primary key, epoch int not null, dt datetime not null, name varchar(20) character set latin1 not null, At timestamp not null,
      hour_of int as (hour(At)) virtual
    )`.execute(db)
    await sql`create view shifted as select id, At + interval 1 day as later from events`.execute(db)
    await db.connection().execute(async (connection) => {
      await sql`set time_zone = '+00:00'`.execute(connection)
      for (let id = 1; id <= 30; id++) {
        const epoch = Date.UTC(2026, 9, 24, 23) / 1_000 + ((id * 11) % 30) * 600
        await sql`insert into events (id, epoch, dt, name, At) values (${id}, ${epoch}, from_unixtime(${epoch}), ${`n${id % 7}`}, from_unixtime(${epoch}))`.execute(
          connection,
        )
      }
    })
  }, 60_000)
  afterAll(async () => {
    await opened?.close()
  }, 60_000)

  /** The identifiers of the pages, each read in the next of the zones, or the code of the error that ended them. */
  async function walk(
    query: (db: Untyped) => unknown,
    by: object | string,
    inZones: readonly string[],
    perPage: number,
  ): Promise<unknown> {
    return db.connection().execute(async (connection) => {
      const seen: number[] = []
      let after: string | null = null
      try {
        for (let at = 0; at < 40; at++) {
          await sql`set time_zone = ${sql.lit(inZones[at % inZones.length])}`.execute(connection)
          const options = { by: [by], unique: 'id', perPage, after }
          const page: { items: object[]; pagination: { next: string | null } } = await cursorPaginate(
            query(connection) as never,
            options as never,
          )
          seen.push(...page.items.map((row) => (row as { id: number }).id))
          after = page.pagination.next
          if (after === null) return seen
        }
        return 'endless'
      } catch (error) {
        return (error as { code?: string }).code
      }
    })
  }

  const events = (db: Untyped) => db.selectFrom('events').select('id')
  const ordered = (key: string, isDescending: boolean, isOfTable = key.trim().toLowerCase() === 'at') =>
    db.connection().execute(async (connection) => {
      await sql`set time_zone = 'Europe/Berlin'`.execute(connection)
      const direction = isDescending ? 'desc' : 'asc'
      // MySQL itself has expressions in the order of the local time. Pages have all times in the order of their instants.
      const isTime = `concat(${key}) like '____-__-__ __:%'`
      const local = `cast(${key} as datetime(6))`
      const isExpression = server === 'mysql' && !isOfTable
      const order = isExpression
        ? `if(${isTime}, unix_timestamp(${local}), null) ${direction}, if(${isTime}, ${local}, null) ${direction}, if(${isTime}, null, ${key})`
        : key
      const list = await sql
        .raw(`select id from events order by ${order} ${direction}, id ${direction}`)
        .execute(connection)
      return list.rows.map((row) => (row as { id: number }).id)
    })

  it.each([
    'at',
    'coalesce(at, at)',
    'greatest(at, at)',
    'case when id > 9 then at else at end',
    '(select x.at from events x where x.id = events.id)',
    'coalesce(at, dt)',
    'at + interval 0 day',
    'from_unixtime(epoch)',
    'date(at)',
    'hour(at)',
    'unix_timestamp(at)',
    "concat(at, '')",
    '(select max(x.at) from events x where x.id <= events.id)',
    'at - interval 210 day',
  ])('keep every row where the clock is put back: %s', async (key) => {
    for (const perPage of [1, 4, 7]) {
      for (const dir of ['asc', 'desc'] as const) {
        const by = { expr: sql.raw(key), nulls: 'never', dir }
        expect(await walk(events, by, ['Europe/Berlin'], perPage)).toEqual(await ordered(key, dir === 'desc'))
      }
    }
  })

  it.each(['unix_timestamp(at)', 'hour(at)', "date_format(at, '%Y-%m-%d %H')", 'date(at)', 'coalesce(at, at)', ' AT '])(
    'keep every row of groups: max(%s)',
    async (key) => {
      const groups = (db: Untyped) =>
        events(db)
          .groupBy('id')
          .select(sql`max(${sql.raw(key)})`.as('m'))
      for (const perPage of [1, 4, 7]) {
        const by = { key: 'm', nulls: 'first' }
        expect(await walk(groups, by, ['Europe/Berlin'], perPage)).toEqual(await ordered(key, false, false))
      }
    },
  )

  const changing = ['+00:00', '-05:00']
  const dependent: Readonly<Record<string, Expression>> = {
    'a function in capitals': sql`FROM_UNIXTIME(epoch)`,
    'a column in capitals': sql`coalesce(AT, AT)`,
    'a column in quotes': sql`coalesce(\`at\`, 1)`,
    UNIX_TIMESTAMP: sql`UNIX_TIMESTAMP(dt)`,
    'a sub-select': sql`(select x.at from events x where x.id = events.id)`,
    'a sub-select of nodes': (eb) =>
      (eb as never as Untyped)
        .selectFrom('events as x')
        .whereRef('x.id' as never, '=', 'events.id')
        .select('x.at' as never),
    'a function of nodes': (eb) => eb.fn('hour', ['at'] as never),
    'an operator': sql`at + 0`,
    'a variable': sql`concat(@@time_zone, name)`,
    'a window': sql`first_value(hour(at)) over (partition by id)`,
  }
  it.each(Object.keys(dependent))('are refused from another zone when they depend on it: %s', async (name) => {
    const by = { expr: dependent[name], nulls: 'never' }
    expect(await walk(events, by, changing, 5)).toBe('ERR_CURSOR_UNSTABLE')
  })

  const derived: Readonly<Record<string, (db: Untyped) => unknown>> = {
    view: (db) => db.selectFrom('shifted').select(['id', 'later as k']),
    'virtual column': (db) => db.selectFrom('events').select(['id', 'hour_of as k']),
    'derived table': (db) =>
      db.selectFrom(events(db).select(sql`FROM_UNIXTIME(epoch)`.as('k')).as('d')).select(['id', 'K']),
    'raw sub-select': (db) => db.selectFrom(sql`(select id, hour(at) as k from events)`.as('d')).select('id' as never),
    group: (db) =>
      events(db)
        .groupBy('id')
        .select((eb) => eb.fn.max(eb.fn.coalesce('at', 'at')).as('k')),
    'group of raw SQL': (db) => events(db).groupBy('id').select(sql`max(hour(at))`.as('k')),
    union: (db) =>
      db
        .selectFrom('events')
        .select(['id', 'dt as k'])
        .where('id', '<', 20)
        .unionAll(db.selectFrom('events').select(['id', 'at as k']).where('id', '>', 19)),
  }
  it.each(Object.keys(derived))(
    'are refused from another zone when they are columns of such a query: %s',
    async (name) => {
      const query = derived[name] as (db: Untyped) => unknown
      expect(await walk(query, { key: 'k', nulls: 'first' }, changing, 5)).toBe('ERR_CURSOR_UNSTABLE')
    },
  )

  it.each([
    'at',
    'max(at)',
    'lower(name)',
    'coalesce(events.dt, events.dt)',
    "case name when '@@time_zone' then id else date(dt) end",
    'concat(name collate latin1_bin, id % 7)',
    'epoch div 1000',
  ])('are exact in any zone when they do not depend on it: %s', async (key) => {
    const isAggregate = key.startsWith('max')
    const query = (db: Untyped) => (isAggregate ? events(db).groupBy('id') : events(db))
    // MySQL has local times in groups, and its text of a number or a date is another number than the value.
    const isRefused = server === 'mysql' && (isAggregate || key.startsWith('case'))
    const expected = isRefused ? 'ERR_CURSOR_UNSTABLE' : await ordered(isAggregate ? 'at' : key, false)
    expect(await walk(query, { expr: sql.raw(key), nulls: 'never' }, changing, 4)).toEqual(expected)
  })

  it('are exact in any zone when a recursive expression counts them', async () => {
    const query = (db: Untyped) =>
      db
        .withRecursive('r(id, k)', (qc) =>
          qc
            .selectFrom('events')
            .select(['id', sql`id div 4`.as('k')])
            .where('id', '<', 20)
            .unionAll(
              qc
                .selectFrom('r')
                .select([sql`id + 10`.as('id'), sql`k + 1`.as('k')])
                .where('id', '>', 9)
                .where('id', '<', 20),
            ),
        )
        .selectFrom('r')
        .select('id')
    const seen = await walk(query, 'k', changing, 4)
    expect(seen).toEqual(await walk(query, 'k', ['+00:00'], 40))
    expect(seen).toHaveLength(29)
  })

  it('are lists in their order, or refused, in zones with daylight saving', async () => {
    await createTypedTables(db, server)
    const times = columnTypes[server].flatMap(({ ddl }, at) => (/timestamp|datetime/.test(ddl) ? [at] : []))
    const walks = fc.sample(typedWalks(server), { numRuns: Number(process.env.RUNS ?? 60), seed: 5 })
    for (const [at, sampled] of walks.entries()) {
      const walk = { ...sampled, type: times[at % times.length] as number }
      // Half of them stay in one zone, and so must be right.
      const isConstant = at % 2 === 0
      const outcome = await runTypedWalk(db, server, { ...walk, settings: isConstant ? [2] : walk.settings })
      const isAllowed = outcome.kind === 'right' || (!isConstant && outcome.kind === 'refused')
      expect(isAllowed ? 'right' : outcome, JSON.stringify(walk)).toBe('right')
    }
  }, 120_000)
})
