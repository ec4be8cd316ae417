import { Kysely, MysqlDialect, sql } from 'kysely'
import { createPool, type PoolOptions } from 'mysql2'
import { queryReport } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'
import { mysqlTables, open, runScript } from './support/databases.ts'
import { expectSameResults } from './support/differential.ts'
import { commonShapes, mysqlShapes, type Tables } from './support/shapes.ts'

const database = `auto_batch_${process.pid}`

// Thousands of queries: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 })

describe.skipIf(!services.mariadb)('autoBatch on MariaDB', () => {
  const dialect = (options: PoolOptions = {}) => {
    const uri = new URL(services.mariadb as string)
    uri.pathname = `/${database}`
    return new MysqlDialect({ pool: createPool({ uri: uri.href, connectionLimit: 10, ...options }) })
  }
  let admin: Kysely<never>

  beforeAll(async () => {
    admin = new Kysely({
      dialect: new MysqlDialect({ pool: createPool({ uri: services.mariadb as string, connectionLimit: 1 }) }),
    })
    await sql.raw(`create database ${database}`).execute(admin)
    await runScript(admin, `use ${database};\n${mysqlTables}`)
  })

  afterAll(async () => {
    await sql.raw(`drop database ${database}`).execute(admin)
    await admin.destroy()
  })

  it.each<[string, PoolOptions]>([
    ['plain', {}],
    [
      'with typeCast, numbers as text and dates as text',
      {
        decimalNumbers: true,
        supportBigNumbers: true,
        bigNumberStrings: true,
        dateStrings: true,
        typeCast: (field, next) => (field.type === 'TINY' && field.length === 1 ? field.string() === '1' : next()),
      },
    ],
  ])('gives the results of separate queries, for random sets of them, %s', async (_name, options) => {
    const { db } = open(dialect(options))
    const separate = new Kysely<Tables>({ dialect: dialect({ ...options, connectionLimit: 1 }) })
    onTestFinished(() => separate.destroy())
    await expectSameResults(db, separate, [...commonShapes, ...mysqlShapes])
    const { queries, statements } = queryReport(db).autoBatch
    expect(queries).toBeGreaterThan(150)
    expect(statements).toBeLessThan(queries / 2)
  })

  it('gives values whole that a union would cut', async () => {
    const { db } = open(dialect())
    await sql`create table exact (id int primary key, price double(10, 3), ratio double)`.execute(db)
    await sql`insert into exact values (1, 0.5, 0.5), (2, 0.5, 0.5), (3, 1234567.891, 1e300)`.execute(db)
    const untyped = db as unknown as Kysely<{ exact: { id: number } }>
    const texts = ["concat(price, '')", 'trim(price)', 'case when id > 1 then price else 1 end', 'round(ratio)']
    for (const text of [...texts, `(select max(${texts[0]}) from exact as e where e.id = exact.id)`]) {
      const rows = (...ids: number[]) =>
        Promise.all(
          ids.map((id) =>
            untyped
              .selectFrom('exact')
              .select(sql.raw(text).as('value'))
              .where('id', '=', id)
              .where(sql<boolean>`coalesce(price, 0) > 0`)
              .execute(),
          ),
        )
      // These prove the joined rows.
      await rows(1, 2, 1)
      await rows(1, 2, 1)
      const alone = await rows(3)
      expect((await rows(1, 2, 3))[2], text).toEqual(alone[0])
    }
    const refusals = queryReport(db).autoBatch.shapes.map(({ refused = '' }) => refused)
    expect(refusals.filter((refused) => refused.startsWith('a union may cut'))).toHaveLength(5)
  })
})
