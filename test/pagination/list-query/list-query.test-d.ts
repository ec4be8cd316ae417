import type { Generated, SelectQueryBuilder } from 'kysely'
import { cursorPaginate, date, explainPage, flag, int, listQuery, manyOf, oneOf, paginate, text } from 'posthaste'
import { expectTypeOf } from 'vitest'

interface Database {
  users: { id: Generated<number>; name: string; last_login: Date | null; created_at: Date; role: 'admin' | 'user' }
  teams: { id: number; title: string }
}

const users = listQuery({
  sort: { created_at: 'users.created_at', name: 'name', last_login: { key: 'users.last_login', nulls: 'last' } },
  defaultSort: '-created_at',
  filter: {
    role: oneOf('admin', 'user'),
    state: oneOf('open', 'closed', { default: 'open' }),
    tags: manyOf('a', 'b'),
    kinds: manyOf('x', 'y', { default: ['x'] }),
    active: flag(),
    active_only: flag({ default: true }),
    team: int({ min: 1 }),
    size: int({ default: 3 }),
    search: text(),
    since: date(),
    until: date({ default: new Date() }),
  },
})
const q = users.parse('')

expectTypeOf(q.filter).toEqualTypeOf<{
  readonly role: 'admin' | 'user' | undefined
  readonly state: 'open' | 'closed'
  readonly tags: readonly ('a' | 'b')[] | undefined
  readonly kinds: readonly ('x' | 'y')[]
  readonly active: boolean | undefined
  readonly active_only: boolean
  readonly team: number | undefined
  readonly size: number
  readonly search: string | undefined
  readonly since: Date | undefined
  readonly until: Date
}>()
expectTypeOf(q.page).toEqualTypeOf<number>()
expectTypeOf(q.after).toEqualTypeOf<string | undefined>()
expectTypeOf(q.key).toEqualTypeOf<string>()

// An option that may be undefined promises nothing.
declare const maybe: { default?: boolean | undefined }
expectTypeOf(listQuery({ filter: { on: flag(maybe) } }).parse('').filter.on).toEqualTypeOf<boolean | undefined>()

declare const query: SelectQueryBuilder<Database, 'users', { id: number; name: string }>
declare const teams: SelectQueryBuilder<Database, 'teams', { id: number }>
paginate(query, { ...q, unique: 'users.id' })
cursorPaginate(query, { ...q, unique: 'users.id' })
explainPage(query, { ...q, unique: 'users.id' })
// @ts-expect-error -- the parsed keys are columns of another table
paginate(teams, { ...q, unique: 'teams.id' })
// @ts-expect-error -- the parsed keys are columns of another table
cursorPaginate(teams, { ...q, unique: 'teams.id' })

const plain = listQuery({ sort: { last_login: 'users.last_login' } }).parse('')
// @ts-expect-error -- last_login can be NULL, and the declaration does not say where NULLs go
cursorPaginate(query, { ...plain, unique: 'users.id' })

const placed = listQuery({ sort: { name: { key: 'users.name', nulls: 'last' } } }).parse('')
cursorPaginate(query, { ...placed, unique: 'users.id' })

paginate(query, { ...listQuery().parse(''), unique: 'users.id' })

// @ts-expect-error -- not a declared sort
listQuery({ sort: { name: 'name' }, defaultSort: '-created_at' })
// @ts-expect-error -- not a choice
oneOf('a', 'b', { default: 'c' })
// @ts-expect-error -- not a choice
manyOf('a', 'b', { default: ['a', 'c'] })
// @ts-expect-error -- not a date
date({ default: '2024-01-31' })
// @ts-expect-error -- no such filter
q.filter.password

// The Standard Schema tells its input and output.
type Types = NonNullable<(typeof users)['~standard']['types']>
expectTypeOf<Types['output']>().toEqualTypeOf<typeof q>()
expectTypeOf<Types['input']>().toHaveProperty('per_page')
const camel = listQuery({ casing: 'camel', filter: { role: oneOf('a') } })
expectTypeOf<keyof NonNullable<(typeof camel)['~standard']['types']>['input']>().toEqualTypeOf<
  'page' | 'perPage' | 'sort' | 'after' | 'before' | 'role'
>()

// What the specification (https://standardschema.dev) asks for, in its own words.
interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}
type Result<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: ReadonlyArray<{
        readonly message: string
        readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
      }>
    }
expectTypeOf(users).toExtend<StandardSchemaV1<Types['input'], typeof q>>()
