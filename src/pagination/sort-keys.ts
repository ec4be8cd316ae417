import { expressionBuilder, type OperationNode, TupleNode } from 'kysely'
import { describeValue } from '../shared/assertions.ts'
import type { NullsPlacement } from './types.ts'

/** A key as the caller gave it, before it was resolved against the query. */
export interface SortSpec {
  readonly node: OperationNode
  readonly descending: boolean
  readonly nulls: NullsPlacement | undefined
  /** Whether a NULL is expected in it. */
  readonly nullable: boolean
}

/** The keys of a list: those of `by`, then those that tell rows apart. */
export interface SortSpecs {
  readonly by: readonly SortSpec[]
  readonly unique: readonly SortSpec[]
  /** Their nodes as one expression, so that the user's plugins rewrite them with the query. */
  readonly tuple: object
  /** Whether the same keys get the same object again. */
  readonly isShared: boolean
}

const known = new Map<string, SortSpecs>()

/**
 * The caller's keys. The direction of the unique ones is left open, because it follows the last key of the order.
 *
 * @throws TypeError when a key is none
 */
export function parseSortKeys(by: unknown, unique: unknown): SortSpecs {
  const keys = by === undefined ? [] : by
  if (!Array.isArray(keys)) throw new TypeError(`Expected \`by\` to be an array of keys, got ${describeValue(by)}`)
  const names = Array.isArray(unique) ? unique : [unique]
  // Orders that are written as text are few, and parsed once.
  const text = keys.every(isText) && names.every(isText) ? `${keys.join('\n')}\n\n${names.join('\n')}` : undefined
  const before = text === undefined ? undefined : known.get(text)
  if (before !== undefined) return before
  const isShared = text !== undefined && known.size < 1_000
  const specs = parse(keys, names, isShared)
  if (isShared) known.set(text, specs)
  return specs
}

function isText(key: unknown): boolean {
  return typeof key === 'string'
}

function parse(keys: readonly unknown[], names: readonly unknown[], isShared: boolean): SortSpecs {
  if (names.length === 0) throw new TypeError('Expected `unique` to be at least one key, got an empty array')
  const by = keys.map(parseSortKey)
  const unique = names.map(parseUniqueKey)
  const node = TupleNode.create([...by, ...unique].map((spec) => spec.node))
  return { by, unique, tuple: { expressionType: undefined, toOperationNode: () => node }, isShared }
}

function parseSortKey(key: unknown): SortSpec {
  if (typeof key === 'string') return parseDirected(key)
  const { key: name, expr, dir, nulls } = Object(key) as Record<string, unknown>
  const node = expr === undefined ? typeof name === 'string' && reference(name) : expressionNode(expr)
  if (!node)
    throw new TypeError(`Expected a key of \`by\` to be a name, { key } or { expr }, got ${describeValue(key)}`)
  if (dir !== undefined && dir !== 'asc' && dir !== 'desc') refuse('dir', "'asc' or 'desc'", dir)
  if (nulls !== undefined && nulls !== 'first' && nulls !== 'last' && (nulls !== 'never' || expr === undefined)) {
    refuse('nulls', expr === undefined ? "'first' or 'last'" : "'first', 'last' or 'never'", nulls)
  }
  if (expr !== undefined && nulls === undefined) refuse('nulls', "'first', 'last' or 'never' for an expression", nulls)
  const placement = nulls === 'first' || nulls === 'last' ? nulls : undefined
  return { node, descending: dir === 'desc', nulls: placement, nullable: placement !== undefined }
}

function parseDirected(text: string): SortSpec {
  const space = text.lastIndexOf(' ')
  const direction = text.slice(space + 1)
  const directed = space > 0 && (direction === 'asc' || direction === 'desc')
  return {
    node: reference(directed ? text.slice(0, space) : text),
    descending: directed && direction === 'desc',
    nulls: undefined,
    nullable: false,
  }
}

function parseUniqueKey(name: unknown): SortSpec {
  if (typeof name !== 'string') throw new TypeError(`Expected \`unique\` to name a key, got ${describeValue(name)}`)
  return { node: reference(name), descending: false, nulls: undefined, nullable: false }
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
