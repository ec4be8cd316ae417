import { paginate } from '../src/index.ts'
import { compare, table } from './harness.ts'
import { type EventDatabase, openEvents } from './support/events.ts'

const count = 200_000

/** What does the total of a page cost, and what may be had for less? */
export default async function run(): Promise<string> {
  const parts = [`The first page of 20 of ${count} rows with its total, by the wall clock.`]
  const opened = await openEvents(count)
  try {
    for (const database of opened) parts.push(`${database.name}:`, await totals(database))
  } finally {
    for (const { close } of opened) await close()
  }
  return parts.join('\n\n')
}

async function totals({ db }: EventDatabase): Promise<string> {
  const events = () => db.selectFrom('events').select(['id', 'status', 'score', 'title'])
  const page = () => events().orderBy('id').limit(20)
  const counted = () => db.selectFrom('events').select((eb) => eb.fn.countAll().as('total'))
  const windowed = () => page().select((eb) => eb.fn.countAll().over().as('total'))
  const options = { unique: 'id', perPage: 20 } as const
  const results = await compare(
    [
      { name: 'by hand: the page, and count(*)', run: async () => [await page().execute(), await counted().execute()] },
      { name: 'by hand: count(*) over ()', run: () => windowed().execute() },
      { name: "total: 'exact'", run: () => paginate(events(), options) },
      { name: "total: 'estimate'", run: () => paginate(events(), { ...options, total: 'estimate' }) },
      { name: 'total: { atMost: 1_000 }', run: () => paginate(events(), { ...options, total: { atMost: 1_000 } }) },
      { name: 'total: { known }', run: () => paginate(events(), { ...options, total: { known: count } }) },
      { name: "total: 'none'", run: () => paginate(events(), { ...options, total: 'none' }) },
    ],
    { iterations: 2, rounds: 10, warmUp: 2 },
  )
  return table(results)
}
