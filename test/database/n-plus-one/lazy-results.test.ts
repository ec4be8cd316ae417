import fastify from 'fastify'
import { expectQueries, ignoreNPlusOne, queryReport, withQueryScope } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openSqlite } from '../support/sqlite.ts'

/** A result as that of `supertest`: it sends its request when it is awaited. */
function lazy<Value>(start: () => Promise<Value>): PromiseLike<Value> {
  // biome-ignore lint/suspicious/noThenProperty: the purpose of the test
  return { then: (onFulfilled, onRejected) => start().then(onFulfilled, onRejected) }
}

function open() {
  const db = openSqlite({ nPlusOne: { mode: 'silent' } })
  const loadUsers = async () => {
    for (let id = 1; id <= 6; id += 1) await db.selectFrom('users').selectAll().where('id', '=', id).execute()
    return 6
  }
  return { db, loadUsers }
}

describe('what is started when it is awaited', () => {
  it('counts in expectQueries: app.inject, and any other', async () => {
    const { loadUsers } = open()
    const app = fastify()
    onTestFinished(() => app.close())
    app.get('/users', loadUsers)
    await expect(expectQueries(() => app.inject('/users'))).rejects.toMatchObject({ code: 'ERR_N_PLUS_ONE' })
    const limited = expectQueries(() => app.inject('/users'), { max: 5, noNPlusOne: false })
    await expect(limited).rejects.toMatchObject({ code: 'ERR_QUERY_BUDGET' })
    await expect(expectQueries(() => lazy(loadUsers))).rejects.toMatchObject({ code: 'ERR_N_PLUS_ONE' })
    const response = await expectQueries(() => app.inject('/users'), { max: 6, noNPlusOne: false })
    expect(response.body).toBe('6')
  })

  it('counts in withQueryScope, whose scope lasts until it settles', async () => {
    const { db, loadUsers } = open()
    expect(await withQueryScope('job', () => lazy(loadUsers))).toBe(6)
    expect(queryReport(db).nPlusOne).toMatchObject([{ kind: 'n+1', scope: 'job', count: 6 }])
    const failing = withQueryScope('job', () => lazy(() => Promise.reject(new Error('down'))))
    await expect(failing).rejects.toThrow('down')
  })

  it('is ignored in ignoreNPlusOne', async () => {
    const { db, loadUsers } = open()
    expect(await withQueryScope('job', () => ignoreNPlusOne(() => lazy(loadUsers)))).toBe(6)
    expect(queryReport(db).nPlusOne).toEqual([])
  })

  it('rejects when its `then` throws', async () => {
    const broken = Object.defineProperty({}, 'then', {
      value: () => {
        throw new Error('broken')
      },
    }) as PromiseLike<void>
    await expect(withQueryScope('job', () => broken)).rejects.toThrow('broken')
  })

  it('leaves a synchronous result synchronous', () => {
    const rows = [1, 2]
    expect(withQueryScope('job', () => rows)).toBe(rows)
    expect(ignoreNPlusOne(() => rows)).toBe(rows)
    expect(() =>
      withQueryScope('job', () => {
        throw new Error('now')
      }),
    ).toThrow('now')
  })
})
