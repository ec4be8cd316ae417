import { sql } from 'kysely'
import { withQueryScope } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { openQueryScope } from '../../../src/database/n-plus-one/query-scope.ts'
import { collectGarbage } from '../../support/collect-garbage.ts'
import { openSqlite } from '../support/sqlite.ts'

describe('query scopes', () => {
  it('of requests get their name when it is known, and end with the response', async () => {
    const scopes: (string | undefined)[] = []
    const db = openSqlite({ onQuery: ({ scope }) => scopes.push(scope) })
    let route = '(unmatched)'
    const scope = openQueryScope(() => `GET ${route}`)
    await scope.run(async () => {
      route = '/users/:id'
      await db.selectFrom('users').selectAll().execute()
    })
    scope.end()
    scope.end()
    expect(scopes).toEqual(['GET /users/:id'])
  })

  it('give back what the function gives, and throw what it throws', async () => {
    expect(withQueryScope('sync', () => 5)).toBe(5)
    expect(() =>
      withQueryScope('sync', () => {
        throw new Error('no')
      }),
    ).toThrow('no')
    await expect(withQueryScope('async', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(() => withQueryScope('bad', () => 1, { maxQueries: -1 })).toThrow('Expected `maxQueries`')
  })

  it('keep the queries of a bounded number of shapes, as in a job that never ends', async () => {
    const db = openSqlite()
    const size = 100_000
    const run = (number: number) => {
      const text = Buffer.alloc(size, `${number} `).toString('latin1')
      return sql`select ${sql.ref(`name`)} as ${sql.ref(`n${number}`)} from users where name = ${text}`.execute(db)
    }
    const grown = await withQueryScope('worker', async () => {
      for (let number = 0; number < 10; number += 1) await run(number)
      const before = heapUsed()
      for (let number = 0; number < 1_500; number += 1) await run(number)
      return heapUsed() - before
    })
    expect(grown).toBeLessThan(700 * size)
    await db.destroy()
  })
})

function heapUsed(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}
