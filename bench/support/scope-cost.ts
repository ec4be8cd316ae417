import { EventEmitter } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'

/** Prints the processor time of a request through `monitorRequests`, in microseconds, without a server around it. */
const [source = '../../src', mode = 'off', queries = '0'] = process.argv.slice(2)
const { instrument, nodeSqlite, PerformanceMonitor } = (await import(
  `${source}/index.ts`
)) as typeof import('../../src/index.ts')
const { monitorRequests } = (await import(`${source}/express.ts`)) as typeof import('../../src/express.ts')

const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
const db = new Kysely<{ users: { id: number } }>(
  mode === 'off' ? { dialect } : instrument({ dialect }, { nPlusOne: false }),
)
await db.schema.createTable('users').addColumn('id', 'integer').execute()
const query = db.selectFrom('users').select('id')
const monitor = new PerformanceMonitor({ sampleInterval: false })
const measure = monitorRequests(monitor)
const count = Number(queries)

function request(): Promise<void> {
  const incoming = { method: 'GET', path: '/', url: '/', originalUrl: '/', headers: {}, aborted: false }
  const response = Object.assign(new EventEmitter(), {
    writableEnded: true,
    statusCode: 200,
    getHeader: () => undefined,
  })
  return new Promise((resolve) => {
    measure(incoming as never, response as never, async () => {
      for (let index = 0; index < count; index++) await query.execute()
      response.emit('close')
      resolve()
    })
  })
}

const rounds: number[] = []
for (let round = 0; round < 60; round++) {
  const before = process.cpuUsage()
  for (let index = 0; index < 2_000; index++) {
    await request()
    // As many requests share a turn of the loop on a server that is busy.
    if (index % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const { user, system } = process.cpuUsage(before)
  if (round >= 20) rounds.push((user + system) / 2_000)
}
rounds.sort((a, b) => a - b)
console.log(rounds[Math.floor(rounds.length / 10)])
process.exit()
