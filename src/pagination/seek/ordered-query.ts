import { expressionBuilder, type OperationNode, type SelectQueryNode, TupleNode } from 'kysely'
import { describeValue, expectOneOf, expectOptions } from '../../shared/arguments.ts'
import { isPlainObject } from '../../shared/plain-object.ts'
import { type SqlDialect, sqlDialects } from '../../shared/sql/statement.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import { QueryRunner, type SelectQuery } from './query-runner.ts'
import {
  describeKey,
  type GivenKey,
  type GivenKeys,
  isNative,
  type KeyTypes,
  type OrderKey,
  type ResolvedQuery,
  resolveOrder,
} from './sort-keys.ts'

/** The settings of a paginator that every page needs. */
export interface OrderedQuerySettings {
  readonly dialect: SqlDialect | undefined
  readonly warn: OnWarn
}

export interface OrderedQueryOptions {
  readonly by?: unknown
  readonly unique: unknown
  readonly signal?: AbortSignal | undefined
  readonly dialect?: SqlDialect | undefined
}

/** A query in an order. */
export class OrderedQuery {
  /** Runs our statements over the query. */
  readonly runner: QueryRunner
  readonly #givenKeys: GivenKeys
  readonly #warn: OnWarn
  #resolved: ResolvedQuery | undefined
  #isFenced = false

  constructor(query: SelectQuery, { by, unique, dialect }: OrderedQueryOptions, settings: OrderedQuerySettings) {
    this.#givenKeys = parseSortKeys(by, unique)
    this.#warn = settings.warn
    this.runner = new QueryRunner(
      query.orderBy(this.#givenKeys.tuple),
      dialect === undefined ? settings.dialect : expectOneOf(dialect, 'dialect', sqlDialects),
    )
  }

  /** The order as the last statement has it. */
  get resolved(): ResolvedQuery | undefined {
    return this.#resolved
  }

  /**
   * Resolves the order, once for all statements.
   *
   * @param node - the query, as the runner passes it
   * @param complete - adds details of the keys that statements need
   */
  resolve(
    node: SelectQueryNode,
    keyTypes?: KeyTypes,
    complete?: (resolved: ResolvedQuery) => ResolvedQuery,
  ): ResolvedQuery {
    if (this.#resolved !== undefined) return this.#resolved
    const resolved = resolveOrder(node, this.#givenKeys, this.runner, keyTypes, this.#isFenced)
    const foreign = resolved.keys.find((key) => !isNative(key, this.runner.dialect))
    if (foreign !== undefined) this.#warn(orderNotNative(foreign))
    this.#resolved = complete === undefined ? resolved : complete(resolved)
    return this.#resolved
  }

  /** Makes later statements expect values of several types in the keys. */
  expectMixedTypes(): ResolvedQuery {
    const { keys, ...resolved } = this.#resolved as ResolvedQuery
    this.#resolved = { ...resolved, keys: keys.map((key) => ({ ...key, typesInUnion: 'several' })) }
    return this.#resolved
  }

  /**
   * Makes PostgreSQL compute the keys, in later statements, only for rows of the query. Otherwise it may compare keys
   * before it joins and filters, and fail for a row that the query leaves out, as at `a / b` where `b` is 0.
   *
   * @returns whether this changes later statements
   */
  fence(): boolean {
    if (this.#isFenced || this.runner.dialect !== 'postgres') return false
    this.#isFenced = true
    this.reset()
    return true
  }

  /** Makes the next statement resolve the order anew. */
  reset(): void {
    this.#resolved = undefined
  }
}

function orderNotNative(key: OrderKey): { code: string; message: string } {
  return {
    code: 'KEY_ORDER_NOT_NATIVE',
    message:
      `${describeKey(key)} asks for its NULLs at the other end than a plain index has them, so such an index cannot serve pages in ` +
      'this order. On PostgreSQL declare the index with the same NULLS FIRST or NULLS LAST; elsewhere change `nulls`.',
  }
}

const maxCached = 1_000
const givenKeysByText = new Map<string, GivenKeys>()

/**
 * Reads the options `by` and `unique`.
 *
 * @throws TypeError when they are not keys
 */
export function parseSortKeys(by: unknown, unique: unknown): GivenKeys {
  const keys = by === undefined ? [] : by
  if (!Array.isArray(keys)) refuse('by', 'an array of keys', by)
  const names = Array.isArray(unique) ? unique : [unique]
  const text = textOfKeys(keys, names)
  if (text === undefined) return parse(keys, names)
  const cached = givenKeysByText.get(text)
  if (cached !== undefined) return cached
  const parsed = parse(keys, names)
  if (givenKeysByText.size < maxCached) givenKeysByText.set(text, parsed)
  return parsed
}

/**
 * The text under which keys are cached: an application has few orders that are written as text, so each is parsed once.
 * Zero bytes separate the names, because no name has one.
 */
function textOfKeys(by: readonly unknown[], names: readonly unknown[]): string | undefined {
  let text = ''
  for (const key of by) {
    const part = typeof key === 'string' ? key : textOfSortKey(key)
    if (part === undefined) return undefined
    text += `${part}\0`
  }
  for (const name of names) {
    if (typeof name !== 'string') return undefined
    text += `\0${name}`
  }
  return text
}

/** The text of `{ key, dir, nulls }`; `undefined` if it holds anything else, which must be checked. */
function textOfSortKey(key: unknown): string | undefined {
  if (!isPlainObject(key)) return undefined
  const { key: name, dir = absent, nulls = absent } = key
  for (const option in key) if (option !== 'key' && option !== 'dir' && option !== 'nulls') return undefined
  if (typeof name !== 'string' || typeof dir !== 'string' || typeof nulls !== 'string') return undefined
  return `${name}\0\0\0${dir}\0${nulls}`
}

const absent = '\0'

function parse(givenBy: readonly unknown[], names: readonly unknown[]): GivenKeys {
  if (names.length === 0) throw new TypeError('Expected `unique` to be at least one key, got an empty array')
  const by = givenBy.map(parseSortKey)
  const unique = names.map(parseUniqueKey)
  const node = TupleNode.create([...by, ...unique].map((key) => key.node))
  return { by, unique, tuple: { expressionType: undefined, toOperationNode: () => node }, nodes: node.values }
}

const sortKeyOptions = { key: 'own', expr: 'own', dir: 'own', nulls: 'own' }

function parseSortKey(key: unknown): GivenKey {
  if (typeof key === 'string') return parseText(key)
  const dynamic = dynamicReference(key)
  if (dynamic !== undefined) return { node: dynamic, isDescending: false, nulls: undefined, isNullable: false }
  if (typeof key === 'object' && key !== null) expectOptions(key, sortKeyOptions, 'by')
  const { key: name, expr, dir, nulls } = Object(key) as Record<string, unknown>
  const named = typeof name === 'string' ? reference(name) : dynamicReference(name)
  const node = expr === undefined ? named : expressionNode(expr)
  if (!node)
    throw new TypeError(`Expected a key of \`by\` to be a name, { key } or { expr }, got ${describeValue(key)}`)
  if (dir !== undefined && dir !== 'asc' && dir !== 'desc') refuse('dir', "'asc' or 'desc'", dir)
  if (nulls !== undefined && nulls !== 'first' && nulls !== 'last' && (nulls !== 'never' || expr === undefined)) {
    refuse('nulls', expr === undefined ? "'first' or 'last'" : "'first', 'last' or 'never'", nulls)
  }
  if (expr !== undefined && nulls === undefined) refuse('nulls', "'first', 'last' or 'never' for an expression", nulls)
  const placement = nulls === 'first' || nulls === 'last' ? nulls : undefined
  return { node, isDescending: dir === 'desc', nulls: placement, isNullable: placement !== undefined }
}

function parseText(text: string): GivenKey {
  const space = text.lastIndexOf(' ')
  const direction = text.slice(space + 1)
  const hasDirection = space > 0 && (direction === 'asc' || direction === 'desc')
  return {
    node: reference(hasDirection ? text.slice(0, space) : text),
    isDescending: hasDirection && direction === 'desc',
    nulls: undefined,
    isNullable: false,
  }
}

function parseUniqueKey(name: unknown): GivenKey {
  const node = typeof name === 'string' && name !== '' ? reference(name) : dynamicReference(name)
  if (node === undefined) throw new TypeError(`Expected \`unique\` to name a key, got ${describeValue(name)}`)
  return { node, isDescending: false, nulls: undefined, isNullable: false }
}

/** The node of `db.dynamic.ref()`. */
function dynamicReference(key: unknown): OperationNode | undefined {
  const { dynamicReference: name } = Object(key) as { dynamicReference?: unknown }
  return typeof name === 'string' ? reference(name) : undefined
}

function expressionNode(expr: unknown): OperationNode {
  const expression = typeof expr === 'function' ? expr(expressionBuilder()) : expr
  if (typeof expression?.toOperationNode !== 'function') refuse('expr', 'an expression', expr)
  return expression.toOperationNode()
}

function reference(name: string): OperationNode {
  if (name === '') refuse('key', 'a name', name)
  return expressionBuilder<Record<string, Record<string, unknown>>, string>().ref(name).toOperationNode()
}

function refuse(option: string, expected: string, value: unknown): never {
  throw new TypeError(`Expected \`${option}\` to be ${expected}, got ${describeValue(value)}`)
}
