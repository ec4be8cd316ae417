import { readChunks } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'
import { type EventDatabase, openEvents } from './support/events.ts'

const count = 200_000

/** What does it take to read a large table to its end, in constant memory? */
export default async function run(): Promise<string> {
  const parts = [`Reading ${count} rows in chunks, by the wall clock.`]
  const opened = await openEvents(count)
  try {
    for (const database of opened) {
      for (const size of [1_000, 500, 100]) {
        const results = await compare(readings(database, size), { iterations: 1, rounds: 2, warmUp: 1 })
        parts.push(`${database.name}, chunks of ${size}:`, table(results))
      }
    }
  } finally {
    for (const { close } of opened) await close()
  }
  return parts.join('\n\n')
}

function readings({ db }: EventDatabase, size: number): Candidate[] {
  const events = () => db.selectFrom('events').select(['id', 'status', 'score', 'title'])
  const ordered = () => events().orderBy('id').limit(size)

  async function byKeyset() {
    let rows = await ordered().execute()
    for (let last = rows.at(-1); last !== undefined; last = rows.at(-1)) {
      rows = await ordered().where('id', '>', last.id).execute()
    }
  }

  async function byOffset() {
    for (let offset = 0; offset < count; offset += size) await ordered().offset(offset).execute()
  }

  async function byChunks() {
    for await (const _chunk of readChunks(events(), { unique: 'id', size }));
  }

  return [
    { name: 'readChunks', run: byChunks },
    { name: 'Kysely by hand, keyset', run: byKeyset },
    // By OFFSET, smaller chunks take minutes.
    ...(size < 500 ? [] : [{ name: 'Kysely by hand, OFFSET', run: byOffset }]),
  ]
}
