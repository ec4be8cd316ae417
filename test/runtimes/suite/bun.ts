// @ts-expect-error: Bun's own module
import { Database } from 'bun:sqlite'
import { SqliteDialect } from 'kysely'
import { nodeSqlite } from 'posthaste'
import { runAll } from './index.ts'

interface BunServer {
  readonly port: number
  stop(force: boolean): Promise<void>
}

const { Bun } = globalThis as unknown as { Bun: { serve(options: object): BunServer } }

await runAll({
  name: 'bun',
  createDialect: async () => new SqliteDialect({ database: nodeSqlite(new Database(':memory:')) }),
  async serve(app) {
    const server = Bun.serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    return {
      fetch: (path, init) => fetch(`http://127.0.0.1:${server.port}${path}`, init),
      close: () => server.stop(true),
    }
  },
})
process.exit()
