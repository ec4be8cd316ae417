import { Kysely, MysqlDialect, sql } from 'kysely'
import { createConnection, createPool } from 'mysql2'
import { instrument, tuneMysqlPool } from 'posthaste'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type ConnectionControl, requestConnection } from '../../../src/database/cancel/connection-control.ts'
import type { Server } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { startMysqlProxy } from '../support/mysql-proxy.ts'
import { endlessQuery, ownMysqlServers } from '../support/mysql-servers.ts'

describe.each(ownMysqlServers)('timeout behind a proxy of $server', ({ server: name, start, isMissing }) => {
  const another = services[name]
  beforeEach(({ skip }) => skip(isMissing || another === undefined))

  let server: Server
  beforeAll(async () => {
    if (!isMissing) server = (await start()) as Server
  })
  afterAll(() => server?.stop())

  async function connect(kind: 'plain' | 'tuned') {
    const proxy = await startMysqlProxy(server.port)
    onTestFinished(() => proxy.close())
    const pool = createPool({ host: '127.0.0.1', port: proxy.port, user: 'root', connectionLimit: 2 })
    if (kind === 'tuned') tuneMysqlPool(pool)
    const db = new Kysely<Record<string, never>>(
      instrument({ dialect: new MysqlDialect({ pool }) }, { timeout: '200ms' }),
    )
    onTestFinished(() => db.destroy())
    return { proxy, pool, db }
  }

  it.each(['plain', 'tuned'] as const)(
    'kills no thread when the proxy numbers them itself, but closes the connection (%s pool)',
    async (kind) => {
      const { proxy, db } = await connect(kind)
      const innocent = createConnection(new URL('/mysql', server.url).href)
      onTestFinished(() => innocent.destroy())
      await new Promise<void>((resolve) => innocent.connect(() => resolve()))
      const rows = innocent.promise().query('select sleep(1) as slept')
      proxy.threadId = innocent.threadId
      await expect(endlessQuery.execute(db)).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
      expect((await rows)[0]).toEqual([{ slept: 0 }])
      expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    },
  )

  it('kills no thread of another server that the address leads to by now', async () => {
    const { proxy, pool } = await connect('tuned')
    const { promise, resolve } = Promise.withResolvers<ConnectionControl>()
    const { promise: acquired, resolve: onAcquired } = Promise.withResolvers<void>()
    requestConnection({ onControl: resolve }, () => pool.getConnection(() => onAcquired()))
    const control = await promise
    await acquired
    proxy.target = Number(new URL(another as string).port)
    const isWanted = vi.fn(() => true)
    await expect(control.cancel(isWanted)).rejects.toThrow('The address leads to several servers')
    expect(isWanted).not.toHaveBeenCalled()
    control.destroy()
  })
})
