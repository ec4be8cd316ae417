import { DatabaseSync } from 'node:sqlite'
import { SqliteDialect } from 'kysely'
import { nodeSqlite } from 'posthaste'
import { runAll } from './index.ts'

interface DenoServer {
  readonly addr: { readonly port: number }
  shutdown(): Promise<void>
}

const { Deno } = globalThis as unknown as {
  Deno: { serve(options: object, handler: unknown): DenoServer; exit(): void }
}

await runAll({
  name: 'deno',
  createDialect: async () => new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }),
  async serve(app) {
    const stop = new AbortController()
    const server = Deno.serve(
      { port: 0, hostname: '127.0.0.1', onListen() {}, signal: stop.signal },
      (request: Request) => app.fetch(request),
    )
    return {
      fetch: (path, init) => fetch(`http://127.0.0.1:${server.addr.port}${path}`, init),
      close: async () => stop.abort(),
    }
  },
})
Deno.exit()
