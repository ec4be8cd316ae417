import { setImmediate } from 'node:timers/promises'
import { type Dialect, Kysely } from 'kysely'
import { instrument, queryReport } from 'posthaste'
import { expect, it } from 'vitest'
import { collectGarbage } from '../../support/collect-garbage.ts'
import { dialectOver } from '../support/dialect-over.ts'

const planSize = 100_000

/** A database that answers EXPLAIN with a long plan, and every other query with no rows. */
function withLongPlans(): Dialect {
  return dialectOver({
    async executeQuery({ sql }) {
      if (!sql.startsWith('explain')) return { rows: [] }
      return { rows: [{ detail: Buffer.alloc(planSize, 'x').toString('latin1') }] as never[] }
    },
    async *streamQuery() {},
  })
}

it('keeps the plans of the latest slow queries, not of all shapes that were ever slow', async () => {
  const db = new Kysely<Record<string, { id: number }>>(
    instrument({ dialect: withLongPlans() }, { slow: '0ms', explain: 'plan', indexAdvice: false }),
  )
  const runs = 1_500
  const before = heapUsed()
  for (let run = 0; run < runs; run += 1) {
    await db.selectFrom(`tenant_${run}.orders`).select('id').execute()
    for (let wait = 0; queryReport(db).slow[0]?.plan === undefined && wait < 100; wait += 1) await setImmediate()
  }
  const { slow } = queryReport(db)
  expect(slow).toHaveLength(100)
  expect(slow.every(({ plan }) => plan?.length === planSize)).toBe(true)
  // Some more are kept for shapes that are slow again.
  expect(heapUsed() - before).toBeLessThan(700 * planSize)
  await db.destroy()
})

function heapUsed(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}
