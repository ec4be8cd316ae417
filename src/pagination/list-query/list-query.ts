import {
  describeValue,
  expectObject,
  expectOneOf,
  expectOptions,
  expectText,
  expectWholeNumber,
  type OptionKinds,
} from '../../shared/arguments.ts'
import type { Casing } from '../../shared/casing.ts'
import { ListQueryError, type ListQueryIssue } from '../errors.ts'
import { type Field, type Fields, fault } from './field.ts'
import { readWholeNumber } from './fields.ts'
import { readParams } from './params.ts'
import { rangePattern } from './patterns.ts'
import { listQuerySchema } from './schema.ts'
import { type SortSpecs, sortField, toSortKey } from './sort.ts'
import type { ListQuery, ListQueryNames, ListQueryOptions, ParsedListQuery } from './types.ts'

/**
 * Parses the query string of a list into typed options: page, cursors, sort keys and filters. Only declared values pass, and
 * all faults are reported at once.
 *
 * Parameters: `page`, `per_page`, `sort` (`-name` for descending, several split by commas), `after`, `before`, and the filters
 * by their own names.
 *
 * @throws TypeError or RangeError when the options are wrong or contradict each other
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

  function tryParse(input: unknown): ParseResult<ParsedListQuery<Sort, Filter>> {
    const params = withSortList(readParams(input, rules.fields.keys()), rules)
    if (params === undefined) return { unsupported: input }
    const values = new Map<string, unknown>()
    const issues: ListQueryIssue[] = []
    for (const [name, field] of rules.fields) {
      const given = params.get(name)
      const value = (given ?? null) === null ? field.missing() : field.read(given)
      if (value === fault) issues.push(misfit(name, field, describeValue(clean(given))))
      else values.set(name, value)
    }
    issues.push(...contradictions(params, rules), ...undeclared(params, rules))
    return issues.length > 0 ? { issues } : { value: toParsed(values, rules) as ParsedListQuery<Sort, Filter> }
  }

  return {
    parse(input) {
      const { value, issues, unsupported } = tryParse(input)
      if (value !== undefined) return value
      if (issues !== undefined) throw new ListQueryError(issues)
      throw new TypeError(`Expected ${supported}, got ${describeValue(unsupported)}`)
    },
    jsonSchema: () => listQuerySchema(rules.fields, rules.names, rules.unknown),
    '~standard': {
      version: 1,
      vendor: 'posthaste',
      validate(input) {
        const { value, issues } = tryParse(input)
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

/** One of the three is set. */
interface ParseResult<Value> {
  readonly value?: Value
  readonly issues?: readonly ListQueryIssue[]
  /** The input, if it is not of a supported type. */
  readonly unsupported?: unknown
}

/** The options, checked. */
interface Rules {
  /** By the names of their parameters. */
  readonly fields: ReadonlyMap<string, Field<unknown>>
  readonly names: Readonly<Record<keyof ListQueryNames, string>>
  readonly maxPerPage: number
  readonly sort: SortSpecs
  readonly filterNames: readonly string[]
  readonly unknown: 'ignore' | 'reject'
}

const listQueryOptions: OptionKinds<ListQueryOptions<SortSpecs, Fields, Casing>> = {
  sort: 'object',
  defaultSort: 'own',
  maxSorts: 'own',
  filter: 'object',
  perPage: { default: 'own', max: 'own' },
  outOfRange: 'own',
  unknown: 'own',
  names: 'own',
  casing: 'own',
}

export const listQueryNames: OptionKinds<ListQueryNames> = {
  page: 'text',
  perPage: 'text',
  sort: 'text',
  after: 'text',
  before: 'text',
}

function checkRules(options: ListQueryOptions<SortSpecs, Fields, Casing>): Rules {
  expectOptions(options, listQueryOptions)
  const { sort = {}, defaultSort, filter = {}, perPage = {}, outOfRange = 'reject', unknown = 'ignore' } = options
  const { casing = 'snake', maxSorts = 3 } = options
  const isClamped = expectOneOf(outOfRange, 'outOfRange', ['reject', 'clamp']) === 'clamp'
  expectOneOf(unknown, 'unknown', ['ignore', 'reject'])
  expectOneOf(casing, 'casing', ['snake', 'camel'])
  expectWholeNumber(maxSorts, 'maxSorts', { min: 1 })
  const max = expectWholeNumber(perPage.max ?? 100, 'perPage.max', { min: 1 })
  const size = expectWholeNumber(perPage.default ?? Math.min(10, max), 'perPage.default', { min: 1, max })
  const names = namesOf(options.names, casing)
  const sortNames = Object.keys(sort)
  const invalidName = sortNames.find((name) => !/^[^-,][^,]*$/u.test(name))
  if (invalidName !== undefined)
    throw new TypeError(`Expected names in \`sort\` without a comma and a leading \`-\`, got '${invalidName}'`)
  for (const name of sortNames) expectSortSpec(sort[name], `sort.${name}`)
  if (defaultSort !== undefined) for (const term of [defaultSort].flat()) expectText(term, 'defaultSort')
  if (sortNames.length === 0 && defaultSort !== undefined) throw new TypeError('Expected `defaultSort` to be in `sort`')

  const fields = new Map<string, Field<unknown>>([
    [names.page, pageNumberField({ max: 2_147_483_647, missing: 1, isClamped })],
    [names.perPage, pageNumberField({ max, missing: size, isClamped })],
    ...(sortNames.length > 0 ? [[names.sort, sortField(sortNames, maxSorts, defaultSort)] as const] : []),
    [names.after, cursorField],
    [names.before, cursorField],
  ])
  for (const [name, field] of Object.entries(filter)) {
    if (fields.has(name) || name === names.sort || name === '__proto__' || name === '') {
      throw new TypeError(`Expected filters not to be named '${name}'`)
    }
    expectObject(field, `filter.${name}`, ['read', 'write', 'missing'], 'a field, such as `text()` or `int()`')
    fields.set(name, field)
  }
  return { fields, names, maxPerPage: max, sort, filterNames: Object.keys(filter).sort(), unknown }
}

/** Some clients write a list as `sort[]=a`. */
function withSortList(
  params: ReadonlyMap<string, unknown> | undefined,
  { names, fields }: Rules,
): ReadonlyMap<string, unknown> | undefined {
  const listed = params?.get(`${names.sort}[]`)
  if (params === undefined || listed === undefined || params.has(names.sort) || !fields.has(names.sort)) return params
  const renamed = new Map(params).set(names.sort, listed)
  renamed.delete(`${names.sort}[]`)
  return renamed
}

/** @throws TypeError unless the value is a column, or says its column or expression */
function expectSortSpec(spec: unknown, name: string): void {
  if (typeof spec === 'string' && spec !== '') return
  expectObject(spec, name, [], 'a column, { key } or { expr }')
  expectOptions(spec, { key: 'text', expr: 'own', nulls: 'own' }, name)
  const { key, expr, nulls } = spec as { readonly key?: unknown; readonly expr?: unknown; readonly nulls?: unknown }
  if ((key === undefined) === (expr === undefined)) {
    throw new TypeError(`Expected \`${name}\` to have either \`key\` or \`expr\``)
  }
  if (expr !== undefined) expectObject(expr, `${name}.expr`, ['toOperationNode'], 'an expression of Kysely')
  const optional = expr === undefined ? [undefined, 'first', 'last'] : ['first', 'last', 'never']
  expectOneOf(nulls, `${name}.nulls`, optional)
}

function namesOf(given: ListQueryNames = {}, casing: Casing): Rules['names'] {
  expectOptions(given, listQueryNames, 'names')
  const { page = 'page', perPage = casing === 'snake' ? 'per_page' : 'perPage', ...others } = given
  const { sort = 'sort', after = 'after', before = 'before' } = others
  const names = { page, perPage, sort, after, before }
  for (const [option, name] of Object.entries(names)) {
    if (typeof name !== 'string' || name === '' || name === '__proto__') {
      throw new TypeError(`Expected \`names.${option}\` to be a name, got ${describeValue(name)}`)
    }
  }
  if (new Set(Object.values(names)).size < 5) throw new TypeError('Expected `names` to differ from each other')
  return names
}

/** The field of `page` and `per_page`. An empty value is a fault here, unlike in a filter: no form sends one. */
function pageNumberField(options: { max: number; missing: number; isClamped: boolean }): Field<number> {
  const { max, missing, isClamped } = options
  const pattern = isClamped ? '0|-?[1-9][0-9]*' : rangePattern(1, max)
  return {
    expected: `a whole number from 1 to ${max}`,
    schema: {
      type: ['integer', 'string'],
      pattern: `^(?:${pattern})$`,
      ...(isClamped ? {} : { minimum: 1, maximum: max }),
    },
    missing: () => missing,
    read(value) {
      const number = readWholeNumber(value)
      if (isClamped && !Number.isNaN(number)) return Math.min(max, Math.max(1, number))
      return number >= 1 && number <= max ? number : fault
    },
    write: String,
  }
}

/**
 * The field of `after` and `before`. Only the paginator can check a cursor. An empty text is a fault, because it would start
 * the list again.
 */
const cursorField: Field<string | undefined> = {
  expected: 'a cursor',
  schema: { type: 'string', minLength: 1 },
  missing: () => undefined,
  read: (value) => (typeof value === 'string' && value !== '' ? value : fault),
  write: String,
}

function toParsed(values: ReadonlyMap<string, unknown>, rules: Rules): ParsedListQuery<SortSpecs, Fields> {
  const { fields, names, sort, filterNames } = rules
  const spell = (names: readonly string[]) => {
    const spelled = new URLSearchParams()
    for (const name of names) {
      const value = values.get(name)
      if (value !== undefined)
        spelled.append(name, (fields.get(name) as Field<unknown>).write(value as NonNullable<unknown>))
    }
    return spelled.toString()
  }
  const after = values.get(names.after) as string | undefined
  const before = values.get(names.before) as string | undefined
  const place = after === undefined && before === undefined ? [names.page] : [names.after, names.before]
  return {
    page: values.get(names.page) as number,
    perPage: values.get(names.perPage) as number,
    maxPerPage: rules.maxPerPage,
    after,
    before,
    by: ((values.get(names.sort) ?? []) as string[]).map((term) => toSortKey(sort, term)) as never,
    filter: Object.fromEntries(filterNames.map((name) => [name, values.get(name)])),
    scope: spell(filterNames) || undefined,
    key: spell([...place, names.perPage, names.sort, ...filterNames]),
  }
}

function contradictions(params: ReadonlyMap<string, unknown>, { names }: Rules): ListQueryIssue[] {
  const { page, after, before } = names
  const given = (name: string) => (params.get(name) ?? null) !== null
  const issues: ListQueryIssue[] = []
  if (given(page) && (given(after) || given(before))) {
    issues.push({ param: page, message: `Expected either \`${page}\` or a cursor, got both` })
  }
  if (given(after) && given(before)) {
    issues.push({ param: before, message: `Expected either \`${after}\` or \`${before}\`, got both` })
  }
  return issues
}

/**
 * Finds parameters that are not declared. Other parsers spell lists and objects with brackets: if we ignored `page[]=2`,
 * it would always show page 1.
 */
function undeclared(params: ReadonlyMap<string, unknown>, { fields, unknown }: Rules): ListQueryIssue[] {
  const issues: ListQueryIssue[] = []
  for (const [name, value] of params) {
    if ((value ?? null) === null || fields.has(name)) continue
    const param = declaredStem(name, fields)
    const shown = `\`${clean(name)}\``
    if (param !== undefined) issues.push(misfit(param, fields.get(param) as Field<unknown>, shown))
    else if (unknown === 'reject') issues.push({ param: name, message: `Expected no parameter ${shown}` })
    // An answer must not grow with the request: attackers would use that.
    if (issues.length === 20) break
  }
  return issues
}

/** The declared name that is spelled here with other brackets: `filter[role]` for `filter[role][]`, `ids[]` for `ids[0]`. */
function declaredStem(name: string, fields: ReadonlyMap<string, unknown>): string | undefined {
  for (let end = name.length; end > 0; end = name.lastIndexOf('[', end - 1)) {
    const stem = name.slice(0, end)
    if (fields.has(stem)) return stem
    if (fields.has(`${stem}[]`)) return `${stem}[]`
  }
  return undefined
}

function misfit(param: string, field: Field<unknown>, got: string): ListQueryIssue {
  return { param, message: `Expected \`${param}\` to be ${field.expected}, got ${got}` }
}

/** A client's text for a message: short, and without line breaks, which would forge lines of a log. */
function clean(value: unknown): unknown {
  return typeof value === 'string' ? value.slice(0, 40).replace(/\p{C}/gu, '\uFFFD') : value
}
