import { CompiledQuery } from 'kysely'
import { expect, it } from 'vitest'
import { QueryStatistics } from '../../../src/database/statistics/query-statistics.ts'

const size = 100_000
const insert = (number: number) =>
  CompiledQuery.raw(`insert into notes (text) values ('${number} ${'x'.repeat(size)}')`)

it('keeps the latest statements, and few of very long ones', () => {
  const statistics = new QueryStatistics('postgres')
  const statements = Array.from({ length: 300 }, (_, number) => statistics.statementOf(insert(number)))
  // A statement that is kept is found again, not analysed again.
  expect(statistics.statementOf(insert(299))).toBe(statements[299])
  expect(statistics.statementOf(insert(290))).toBe(statements[290])
  const kept = statements.filter((statement, number) => statistics.statementOf(insert(number)) === statement)
  expect(kept.length * size).toBeLessThan(10_000_000)
  // They all count as one shape, and a long text is compared by its hash.
  expect(new Set(statements.map(({ shape }) => shape)).size).toBe(1)
  expect(statements.every(({ literals = '' }) => literals.length < 1_000)).toBe(true)
  expect(new Set(statements.map(({ literals }) => literals)).size).toBe(300)
})
