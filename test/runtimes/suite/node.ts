import { DatabaseSync } from 'node:sqlite'
import { serve } from '@hono/node-server'
import { SqliteDialect } from 'kysely'
import { nodeSqlite } from 'posthaste'
import { type RuntimeName, runAll } from './index.ts'

await runAll({
  name: `node${process.versions.node.split('.')[0]}` as RuntimeName,
  createDialect: async () => new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }),
  async serve(app) {
    const listening = Promise.withResolvers<number>()
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => listening.resolve(port))
    const port = await listening.promise
    return {
      fetch: (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init),
      async close() {
        ;(server as unknown as { closeAllConnections(): void }).closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  },
})
process.exit()
