import { type CompiledQuery, type Driver, Kysely } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import postgres, { type Sql } from 'postgres'
import { queryReport } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'
import { open, postgresTables } from './support/databases.ts'
import { expectSameResults } from './support/differential.ts'
import { commonShapes, postgresShapes, type Tables } from './support/shapes.ts'

const schema = `auto_batch_js_${process.pid}`

// Thousands of queries: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 })

describe.skipIf(!services.postgres)('autoBatch on postgres.js', () => {
  const connect = (options: object = {}) =>
    postgres(services.postgres as string, { max: 5, connection: { search_path: schema }, onnotice() {}, ...options })
  const dialect = (options?: object) => new PostgresJSDialect({ postgres: connect(options) })
  let admin: Sql

  beforeAll(async () => {
    admin = connect()
    await admin.unsafe(`create schema ${schema}`)
    await admin.unsafe(postgresTables)
  })

  afterAll(async () => {
    await admin.unsafe(`drop schema ${schema} cascade`)
    await admin.end()
  })

  it('gives the results of separate queries, for random sets of them', async () => {
    const { db } = open(dialect())
    const separate = new Kysely<Tables>({ dialect: dialect() })
    onTestFinished(() => separate.destroy())
    await expectSameResults(db, separate, [...commonShapes, ...postgresShapes])
    const { queries, statements } = queryReport(db).autoBatch
    expect(queries).toBeGreaterThan(200)
    expect(statements).toBeLessThan(queries / 2)
  })

  it.each([
    ['as they are', {}],
    ['in camelCase', { transform: postgres.camel }],
  ])('sends a hundred lookups as one statement, with columns %s', async (_name, options) => {
    const { db, events } = open(dialect(options))
    const hundred = () =>
      Promise.all(
        Array.from({ length: 100 }, (_, id) =>
          db.selectFrom('city').select(['id', 'name']).where('id', '=', id).execute(),
        ),
      )
    await hundred()
    events.length = 0
    const found = await hundred()
    expect(events).toMatchObject([{ lookups: 100, rows: 24 }])
    expect(found.map((rows) => rows.length)).toEqual(found.map((_, id) => (id > 0 && id < 25 ? 1 : 0)))
  })

  it('joins lookups of a driver that counts the rows of a SELECT as affected', async () => {
    class CountingDialect extends PostgresJSDialect {
      override createDriver(): Driver {
        const driver = super.createDriver()
        const acquire = driver.acquireConnection.bind(driver)
        driver.acquireConnection = async () => {
          const connection = await acquire()
          const execute = connection.executeQuery.bind(connection)
          connection.executeQuery = async <Row>(query: CompiledQuery) => {
            const { rows } = await execute<Row>(query)
            return { rows, numAffectedRows: BigInt(rows.length) }
          }
          return connection
        }
        return driver
      }
    }
    const { db, events } = open(new CountingDialect({ postgres: connect() }))
    const two = () =>
      Promise.all([1, 2].map((id) => db.selectFrom('city').select(['id', 'name']).where('id', '=', id).execute()))
    await two()
    events.length = 0
    await two()
    expect(events).toMatchObject([{ lookups: 2 }])
  })
})
