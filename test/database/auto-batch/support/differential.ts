import fc from 'fast-check'
import type { Kysely } from 'kysely'
import { expect } from 'vitest'
import type { Shape, Tables, Values } from './shapes.ts'

const texts = [
  'city 1',
  'city 3',
  'city 12',
  '',
  ' ',
  'NULL',
  'null',
  'a,b',
  '{x}',
  '"',
  "it's",
  '$1',
  '\\',
  'é',
  'abc',
  '%',
]

export const values: fc.Arbitrary<Values> = fc.record({
  id: fc.option(fc.integer({ min: -1, max: 30 }), { freq: 6 }),
  other: fc.integer({ min: 0, max: 26 }),
  text: fc.option(fc.constantFrom(...texts), { freq: 6 }),
  limit: fc.integer({ min: 1, max: 3 }),
  date: fc.date({ min: new Date('2019-01-01'), max: new Date('2022-01-01'), noInvalidDate: true }),
  flag: fc.boolean(),
  decimal: fc.constantFrom('0', '1.5', '1.25', '10.125', '-3'),
  list: fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 3 }),
  big: fc.bigInt({ min: 0n, max: 2n ** 40n }),
  wild: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 20 }) },
    fc.constantFrom('7', 'abc', '', 1.5, 3_000_000_000, '2147483648', undefined, true),
  ),
})

/** One set of queries: few shapes, so that they meet, or any. */
export function querySets(
  shapes: readonly Shape[],
  maxLength: number,
): fc.Arbitrary<{ shape: number; values: Values }[]> {
  const index = fc.integer({ min: 0, max: shapes.length - 1 })
  const query = (shape: fc.Arbitrary<number>) => fc.record({ shape, values })
  return fc.oneof(
    fc.array(query(index), { minLength: 1, maxLength, size: 'max' }),
    fc
      .array(index, { minLength: 1, maxLength: 3 })
      .chain((few) => fc.array(query(fc.constantFrom(...few)), { minLength: 1, maxLength, size: 'max' })),
  )
}

/** Runs random sets at once on `joined` and one after another on `separate`, and compares rows, order, and errors. */
export async function expectSameResults(
  joined: Kysely<Tables>,
  separate: Kysely<Tables>,
  shapes: readonly Shape[],
  { runs = 40, seed = 1, maxLength = 60 }: { runs?: number; seed?: number; maxLength?: number } = {},
): Promise<void> {
  const settings = {
    numRuns: Number(process.env.RUNS ?? runs),
    seed: Number(process.env.SEED ?? seed),
    endOnFailure: true,
  }
  await fc.assert(
    fc.asyncProperty(querySets(shapes, maxLength), async (set) => {
      const run = (db: Kysely<Tables>, { shape, values }: (typeof set)[number]) =>
        outcome(async () => await (shapes[shape] as Shape)(db, values).execute())
      const together = await Promise.all(set.map((query) => run(joined, query)))
      for (const [index, query] of set.entries()) {
        const alone = await run(separate, query)
        expect(together[index], `shape ${query.shape}`).toStrictEqual(alone)
      }
    }),
    settings,
  )
}

/** Rows with the order of their columns, or what identifies the error. */
async function outcome(run: () => Promise<unknown[]>): Promise<unknown> {
  try {
    const rows = await run()
    return { rows, columns: rows.map((row) => Object.keys(row as object)) }
  } catch (error) {
    const { name, message, code, detail, position, severity } = error as Error & Record<string, unknown>
    return { name, message, code, detail, position, severity }
  }
}
