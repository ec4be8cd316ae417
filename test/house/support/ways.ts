/** Prints the files of `src/` that calls go through, as JSON. A process of its own: test runners rewrite the modules. */
import { Session } from 'node:inspector/promises'
import { cannedPostgres } from '../../../bench/support/canned.ts'
import { createCache } from '../../../src/cache.ts'
import { cursorPaginate } from '../../../src/pagination.ts'

const session = new Session()
session.connect()
await session.post('Profiler.enable')

/** The files of which the call runs a function, each time: a timer may run others meanwhile. */
async function filesOf(call: () => Promise<unknown>): Promise<string[]> {
  // The first call looks up and remembers what later ones need not.
  await call()
  const files = [await filesOfOne(call), await filesOfOne(call), await filesOfOne(call)]
  return files.reduce((common, others) => common.filter((file) => others.includes(file)))
}

async function filesOfOne(call: () => Promise<unknown>): Promise<string[]> {
  await session.post('Profiler.startPreciseCoverage', { callCount: true })
  await call()
  const { result } = await session.post('Profiler.takePreciseCoverage')
  await session.post('Profiler.stopPreciseCoverage')
  // A module itself is a function too, which begins with its file.
  const isRun = ({ functions }: (typeof result)[number]) =>
    functions.some(({ ranges: [whole] }) => whole !== undefined && whole.startOffset > 0 && whole.count > 0)
  return result.filter(isRun).flatMap(({ url }) => /\/src\/([^?]+\.ts)$/.exec(url)?.[1] ?? [])
}

async function memoryHit(): Promise<string[]> {
  const cache = createCache()
  await cache.set('key', 1, { tags: ['tag'] })
  const files = await filesOf(() => cache.getOrSet('key', () => 2, { tags: ['tag'] }))
  await cache.close()
  return files
}

async function redisHit(url: string): Promise<string[]> {
  const cache = createCache({ redis: url, memory: false, namespace: `ways-${process.pid}` })
  await cache.set('key', 1, { tags: ['tag'] })
  const files = await filesOf(() => cache.getOrSet('key', () => 2, { tags: ['tag'] }))
  await cache.clear()
  await cache.close()
  return files
}

/** A page behind a cursor, on PostgreSQL. */
async function page(): Promise<string[]> {
  const canned = cannedPostgres<{ events: { id: number; status: number } }>()
  const read = (after: string | null) =>
    cursorPaginate(canned.db.selectFrom('events').selectAll(), { by: ['status'], unique: 'id', perPage: 1, after })
  canned.rows = [rowOf(1), rowOf(2)]
  const { next } = (await read(null)).pagination
  canned.rows = [{ ...rowOf(1), posthastex0: true }, rowOf(2), rowOf(3)]
  return filesOf(() => read(next))
}

/** With its keys as PostgreSQL's `record_send` writes them. */
function rowOf(id: number): object {
  const status = 5
  const hex = (value: number) => value.toString(16).padStart(8, '0')
  const keys = [status, id].map((key) => [23, 4, key].map(hex).join(''))
  return { id, status, posthastek0: [hex(keys.length), ...keys].join('') }
}

const [redisUrl] = process.argv.slice(2)
const ways = {
  memoryHit: await memoryHit(),
  redisHit: redisUrl === undefined ? undefined : await redisHit(redisUrl),
  page: await page(),
}
console.log(JSON.stringify(ways))
