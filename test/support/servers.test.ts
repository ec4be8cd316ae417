import { describe, expect, it } from 'vitest'
import { listens, startMariadb, startMysql, startPostgres, startRedis } from './servers.ts'

describe('servers of a test’s own', () => {
  it.each([
    ['Redis', startRedis],
    ['PostgreSQL', startPostgres],
    ['MariaDB', startMariadb],
    ['MySQL', startMysql],
  ])('%s starts on a free port and leaves nothing running', async (_name, start) => {
    const server = await start()
    if (server === undefined) return
    expect(await listens(server.port)).toBe(true)
    await server.stop()
    expect(await listens(server.port)).toBe(false)
  })
})
