import { describeValue, expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import type { Casing } from '../shared/casing.ts'
import { ListQueryError, type ListQueryIssue } from './errors.ts'
import { type Field, type Fields, fault } from './fields-kind.ts'
import { cursorField, pageNumberField } from './list-query-fields.ts'
import { readParams } from './list-query-params.ts'
import { listQuerySchema } from './list-query-schema.ts'
import { type SortSpecs, sortField, toSortKey } from './list-query-sort.ts'
import type { ListQuery, ListQueryOptions, ParsedListQuery } from './list-query-types.ts'

/**
 * The query string of a list, allow-listed and typed: pages, cursors, sorting and filters, all faults reported at once.
 *
 * Parameters: `page`, `per_page`, `sort` (`-name` for descending, several split by commas), `after`, `before`, and the filters
 * by their own names.
 *
 * @throws TypeError or RangeError when the rules contradict themselves
 *
 * @example
 * ```ts
 * const users = listQuery({
 *   sort: { created_at: 'users.created_at', last_login: { key: 'users.last_login', nulls: 'last' } },
 *   defaultSort: '-created_at',
 *   filter: { role: oneOf('admin', 'manager', 'user'), active_only: flag({ default: true }) },
 * })
 * const q = users.parse(request.url)
 * const page = await paginate(db.selectFrom('users').selectAll(), { ...q, unique: 'users.id' })
 * ```
 */
export function listQuery<
  const Sort extends SortSpecs = Record<never, never>,
  Filter extends Fields = Record<never, never>,
  Wire extends Casing = 'snake',
>(options: ListQueryOptions<Sort, Filter, Wire> = {}): ListQuery<Sort, Filter, Wire> {
  const rules = checkRules(options)

  function check(input: unknown): Outcome<ParsedListQuery<Sort, Filter>> {
    const params = readParams(input)
    if (params === undefined) return { misuse: input }
    const values = new Map<string, unknown>()
    const issues: ListQueryIssue[] = []
    for (const [name, field] of rules.fields) {
      const given = params.get(name)
      const value = given === undefined ? field.missing() : field.read(given)
      if (value === fault) issues.push(unfit(name, field, describeValue(clean(given))))
      else values.set(name, value)
    }
    issues.push(...contradictions(params), ...undeclared(params, rules))
    return issues.length > 0 ? { issues } : { value: toParsed(values, rules) as ParsedListQuery<Sort, Filter> }
  }

  return {
    parse(input) {
      const { value, issues, misuse } = check(input)
      if (value !== undefined) return value
      if (issues !== undefined) throw new ListQueryError(issues)
      throw new TypeError(`Expected ${supported}, got ${describeValue(misuse)}`)
    },
    jsonSchema: () => listQuerySchema(rules.fields, rules.unknown),
    '~standard': {
      version: 1,
      vendor: 'posthaste',
      validate(input) {
        const { value, issues } = check(input)
        if (value !== undefined) return { value }
        return {
          issues: issues?.map(({ param, message }) => ({ message, path: [param] })) ?? [
            { message: `Expected ${supported}` },
          ],
        }
      },
    },
  }
}

const supported = 'a query string, URL, URLSearchParams, Request or plain object'

interface Outcome<Value> {
  readonly value?: Value
  readonly issues?: readonly ListQueryIssue[]
  readonly misuse?: unknown
}

/** The options, checked, as fields by the names of their parameters. */
interface Rules {
  readonly fields: ReadonlyMap<string, Field<unknown>>
  readonly perPageName: string
  readonly sort: SortSpecs
  readonly filterNames: readonly string[]
  readonly unknown: 'ignore' | 'reject'
}

function checkRules(options: ListQueryOptions<SortSpecs, Fields, Casing>): Rules {
  const { sort = {}, defaultSort, filter = {}, perPage = {}, outOfRange = 'reject', unknown = 'ignore' } = options
  const { casing = 'snake', maxSorts = 3 } = options
  const clamp = expectOneOf(outOfRange, 'outOfRange', ['reject', 'clamp']) === 'clamp'
  expectOneOf(unknown, 'unknown', ['ignore', 'reject'])
  expectOneOf(casing, 'casing', ['snake', 'camel'])
  expectWholeNumber(maxSorts, 'maxSorts', { min: 1 })
  const max = expectWholeNumber(perPage.max ?? 100, 'perPage.max', { min: 1 })
  const size = expectWholeNumber(perPage.default ?? Math.min(10, max), 'perPage.default', { min: 1, max })
  const perPageName = casing === 'snake' ? 'per_page' : 'perPage'
  const sortNames = Object.keys(sort)
  const unfit = sortNames.find((name) => !/^[^-,][^,]*$/u.test(name))
  if (unfit !== undefined)
    throw new TypeError(`Expected names in \`sort\` without a comma and a leading \`-\`, got '${unfit}'`)
  if (sortNames.length === 0 && defaultSort !== undefined) throw new TypeError('Expected `defaultSort` to be in `sort`')

  const fields = new Map<string, Field<unknown>>([
    ['page', pageNumberField({ max: 2_147_483_647, missing: 1, clamp })],
    [perPageName, pageNumberField({ max, missing: size, clamp })],
    ...(sortNames.length > 0 ? [['sort', sortField(sortNames, maxSorts, defaultSort)] as const] : []),
    ['after', cursorField],
    ['before', cursorField],
  ])
  for (const [name, field] of Object.entries(filter)) {
    if (fields.has(name) || name === 'sort' || name === '__proto__' || name === '') {
      throw new TypeError(`Expected filters not to be named '${name}'`)
    }
    fields.set(name, field)
  }
  return { fields, perPageName, sort, filterNames: Object.keys(filter).sort(), unknown }
}

function toParsed(values: ReadonlyMap<string, unknown>, rules: Rules): ParsedListQuery<SortSpecs, Fields> {
  const { fields, perPageName, sort, filterNames } = rules
  const spell = (names: readonly string[]) => {
    const spelled = new URLSearchParams()
    for (const name of names) {
      const value = values.get(name)
      if (value !== undefined)
        spelled.append(name, (fields.get(name) as Field<unknown>).write(value as NonNullable<unknown>))
    }
    return spelled.toString()
  }
  const after = values.get('after') as string | undefined
  const before = values.get('before') as string | undefined
  const place = after === undefined && before === undefined ? ['page'] : ['after', 'before']
  return {
    page: values.get('page') as number,
    perPage: values.get(perPageName) as number,
    after,
    before,
    by: ((values.get('sort') ?? []) as string[]).map((term) => toSortKey(sort, term)) as never,
    filter: Object.fromEntries(filterNames.map((name) => [name, values.get(name)])),
    scope: spell(filterNames) || undefined,
    key: spell([...place, perPageName, 'sort', ...filterNames]),
  }
}

function contradictions(params: ReadonlyMap<string, unknown>): ListQueryIssue[] {
  const given = (name: string) => params.get(name) !== undefined
  const issues: ListQueryIssue[] = []
  if (given('page') && (given('after') || given('before'))) {
    issues.push({ param: 'page', message: 'Expected either `page` or a cursor, got both' })
  }
  if (given('after') && given('before')) {
    issues.push({ param: 'before', message: 'Expected either `after` or `before`, got both' })
  }
  return issues
}

/** Names with brackets are how other parsers spell lists and objects: left alone, `page[]=2` would show page 1 for ever. */
function undeclared(params: ReadonlyMap<string, unknown>, { fields, unknown }: Rules): ListQueryIssue[] {
  const issues: ListQueryIssue[] = []
  for (const [name, value] of params) {
    if (value === undefined || fields.has(name)) continue
    const param = name.slice(0, Math.max(0, name.indexOf('[')))
    const field = fields.get(param)
    const shown = `\`${clean(name)}\``
    if (field !== undefined) issues.push(unfit(param, field, shown))
    else if (unknown === 'reject') issues.push({ param: name, message: `Expected no parameter ${shown}` })
    // An answer that grows with the request is worth attacking.
    if (issues.length === 20) break
  }
  return issues
}

function unfit(param: string, field: Field<unknown>, got: string): ListQueryIssue {
  return { param, message: `Expected \`${param}\` to be ${field.expected}, got ${got}` }
}

/** A client's text as it may appear in a message: short, and in one line of a log. */
function clean(value: unknown): unknown {
  return typeof value === 'string' ? value.slice(0, 40).replace(/\p{C}/gu, '\uFFFD') : value
}
