import { connect, createServer } from 'node:net'
import { Kysely, MysqlDialect, PostgresDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { instrument } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { services } from '../../support/services.ts'
import { startSilentProxy } from '../support/silent-proxy.ts'

/** How long a query that sleeps is held back on its way. Meanwhile its cancellation has long arrived. */
const lagMs = 300

describe.each(['postgres', 'mariadb', 'mysql'] as const)('cancelling on %s', (server) => {
  const names =
    server === 'postgres'
      ? { session: 'pg_backend_pid', sleep: 'pg_sleep' }
      : { session: 'connection_id', sleep: 'sleep' }

  function open(url: string) {
    const dialect =
      server === 'postgres'
        ? new PostgresDialect({ pool: new pg.Pool({ connectionString: url, max: 1 }) })
        : new MysqlDialect({ pool: createPool({ uri: url, connectionLimit: 1 }) })
    const db = new Kysely<Record<string, never>>(instrument({ dialect }, { timeout: '100ms' }))
    onTestFinished(() => db.destroy())
    return {
      session: async () => (await sql`select ${sql.raw(names.session)}() as id`.execute(db)).rows,
      sleep: () => sql`select ${sql.raw(names.sleep)}(20)`.execute(db),
    }
  }

  describe.skipIf(!services[server])('with a server', () => {
    it('asks again when the request overtakes its query', async () => {
      const { session, sleep } = open(await lag(services[server] as string))
      const before = await session()
      const start = performance.now()
      await expect(sleep()).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
      expect(performance.now() - start).toBeGreaterThan(lagMs)
      expect(await session()).toEqual(before)
    })

    it('closes a connection that gets no answer, and the process lives', async () => {
      const { proxy, url } = await behindProxy(services[server] as string)
      const { session, sleep } = open(url)
      const before = await session()
      proxy.silence()
      await expect(sleep()).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
      expect(await session()).not.toEqual(before)
    })
  })
})

async function behindProxy(address: string) {
  const { url, target } = addressOf(address)
  const proxy = await startSilentProxy(target.port)
  onTestFinished(() => proxy.close())
  url.port = String(proxy.port)
  return { proxy, url: url.href }
}

function addressOf(address: string) {
  const url = new URL(address)
  const target = { host: url.hostname, port: Number(url.port || (url.protocol === 'mysql:' ? 3306 : 5432)) }
  url.hostname = '127.0.0.1'
  return { url, target }
}

/** The address of the server behind a proxy that lets no query that sleeps through at once. */
async function lag(address: string): Promise<string> {
  const { url, target } = addressOf(address)
  const proxy = createServer((client) => {
    const upstream = connect(target)
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy())
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy())
    upstream.pipe(client)
    client.on('data', (bytes: Buffer) => {
      if (bytes.includes('sleep(')) setTimeout(() => upstream.write(bytes), lagMs)
      else upstream.write(bytes)
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void proxy.close())
  url.port = String((proxy.address() as { port: number }).port)
  return url.href
}
