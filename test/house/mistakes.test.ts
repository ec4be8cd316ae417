import { expect, it } from 'vitest'
import { typeErrors } from '../support/snippets.ts'

const around = `
import type { Kysely } from 'kysely'
import { batchProcess, createCache, cursorPaginate, listQuery, tags } from 'posthaste'
declare const typed: Kysely<{ teams: { id: number; name: string; parent: number | null } }>
const teams = typed.selectFrom('teams').select(['id', 'name'])
const cache = createCache({ profiles: { short: '1m' }, tags: tags<'users'>() })
`

/** A mistake, and what the compiler must say of it. */
const mistakes: readonly (readonly [code: string, says: string])[] = [
  ["await cursorPaginate(teams, { by: ['nam'], unique: 'id' })", `Did you mean '"name"'?`],
  ["await cursorPaginate(teams, { by: ['name DESC'], unique: 'id' })", `Did you mean '"name desc"'?`],
  [
    "await cursorPaginate(teams, { by: [{ key: 'parent', dir: 'desc' }], unique: 'id' })",
    "Property 'nulls' is missing",
  ],
  ["await cursorPaginate(teams, { unique: 'parent' })", `Type '"parent"' is not assignable to type 'UniqueKey<`],
  ["await cursorPaginate(teams, { by: ['name'] })", "Property 'unique' is missing"],
  ["await cursorPaginate(teams, { unique: 'id', limit: 5 })", "'limit' does not exist in type 'CursorPaginateOptions<"],
  ["await cursorPaginate(teams.execute(), { unique: 'id' })", "to parameter of type 'SelectQueryBuilder<"],
  ["await cache.getOrSet('x', () => 1, { profile: 'shrt' })", `Did you mean '"short"'?`],
  ["await cache.getOrSet('x', () => 1, { tags: ['user'] })", `Did you mean '"users"'?`],
  ["await cache.invalidateTags('user')", `'"user"' is not assignable to parameter of type '"users" |`],
  ["createCache({ redis: { ulr: 'redis://localhost' } })", "Property 'url' is missing"],
  ["listQuery({ sort: { name: 'teams.name' }, defaultSort: '-nam' })", `Did you mean '"-name"'?`],
  ['await batchProcess([1], async () => 1, { concurency: 3 })', "Did you mean to write 'concurrency'?"],
]

it('the compiler names what is wrong with a typical mistake', () => {
  const errors = typeErrors(mistakes.map(([code]) => ({ at: code, language: 'ts', code: `${around}${code}` })))
  const said = mistakes.map(([code]) => [code, errors.filter((error) => error.startsWith(code))] as const)
  for (const [index, [code, lines]] of said.entries()) {
    expect(lines, code).toHaveLength(1)
    expect(lines[0]).toContain(mistakes[index]?.[1])
  }
}, 120_000)
