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

/**
 * The caller's keys: those of `by`, then those of `unique`. The direction of the unique ones is left open, because it
 * follows the last key of the order.
 *
 * @throws TypeError when a key is none
 */
export function parseSortKeys(by: unknown, unique: unknown): { by: SortSpec[]; unique: SortSpec[] } {
  const keys = by === undefined ? [] : by
  if (!Array.isArray(keys)) throw new TypeError(`Expected \`by\` to be an array of keys, got ${describeValue(by)}`)
  const names = Array.isArray(unique) ? unique : [unique]
  if (names.length === 0) throw new TypeError('Expected `unique` to be at least one key, got an empty array')
  return { by: keys.map(parseSortKey), unique: names.map(parseUniqueKey) }
}

/** The nodes of the keys as one expression, so that the user's plugins rewrite them with the query. */
export function keyTuple(specs: readonly SortSpec[]): object {
  const tuple = TupleNode.create(specs.map((spec) => spec.node))
  return { expressionType: undefined, toOperationNode: () => tuple }
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

const references = new Map<string, OperationNode>()

/** Nodes are immutable, so each name is parsed once; the bound is for callers that make names up. */
function reference(name: string): OperationNode {
  const known = references.get(name)
  if (known !== undefined) return known
  if (name === '') refuse('key', 'a name', name)
  const node = expressionBuilder<Record<string, Record<string, unknown>>, string>().ref(name).toOperationNode()
  if (references.size < 1_000) references.set(name, node)
  return node
}

function refuse(option: string, expected: string, value: unknown): never {
  throw new TypeError(`Expected \`${option}\` to be ${expected}, got ${describeValue(value)}`)
}
