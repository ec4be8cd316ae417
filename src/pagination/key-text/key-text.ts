import type { OperationNode } from 'kysely'
import type { Position } from '../cursor.ts'
import { CursorInvalidError, CursorMismatchError } from '../errors.ts'
import type { Row } from '../seek/query-runner.ts'
import type { OrderKey } from '../seek/sort-keys.ts'
import { raw } from '../seek/sql-nodes.ts'

/**
 * Writes keys as text for cursors, and compares keys with such texts. The database does both, without loss; JavaScript
 * would lose microseconds, integers beyond 2^53 and decimals.
 */
export interface KeyText {
  /**
   * The hidden columns (`posthastek0`, …) from which {@link positionOf} reads the keys of a row.
   *
   * @param isDetailed - adds details that few orders need, and that slow down a statement
   */
  columns(keys: readonly OrderKey[], isDetailed: boolean): OperationNode[]
  /** @throws CursorUnstableError or QueryUnsupportedError for a value that has no text */
  positionOf(row: Row, keys: readonly OrderKey[]): Position
  /** Whether the key at the index is NULL in the row. */
  isNullIn(row: Row, at: number): boolean
  /** The condition that the key is NULL. */
  isNull(key: OrderKey): OperationNode
  /** @throws CursorInvalidError when no key can have this text; `beyond` and `read` throw it too */
  equals(key: OrderKey, text: string): OperationNode
  /** The condition that the key stands behind the text in the order, or is equal to it if `isInclusive`. */
  beyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode
  /** The SQL that reads the text back, as a parameter of a known type. */
  read(text: string, key: OrderKey): OperationNode
}

/** Adds the methods that compare a key with the value that `read` makes of a text. */
export function comparedByValue(read: KeyText['read'], rest: Omit<KeyText, 'equals' | 'beyond' | 'read'>): KeyText {
  return {
    ...rest,
    read,
    equals: (key, text) => raw`${key.sql} = ${read(text, key)}`,
    beyond: (key, text, isInclusive) => beyondValue(key, read(text, key), isInclusive),
  }
}

export function beyondValue(
  { sql, isDescending }: OrderKey,
  value: OperationNode,
  isInclusive: boolean,
): OperationNode {
  if (isInclusive) return isDescending ? raw`${sql} <= ${value}` : raw`${sql} >= ${value}`
  return isDescending ? raw`${sql} < ${value}` : raw`${sql} > ${value}`
}

/** The text in the column `posthastek<at>` of a row. */
export function textIn(row: Row, at: number): string | null {
  const text = row[textNames[at] ?? `posthastek${at}`] ?? null
  return text === null ? null : String(text)
}

const textNames = ['posthastek0', 'posthastek1', 'posthastek2', 'posthastek3']

export function textsIn(row: Row, keys: readonly OrderKey[]): Position {
  return keys.map((_key, at) => textIn(row, at))
}

export function hasNoText(row: Row, at: number): boolean {
  return textIn(row, at) === null
}

export function unreadable(): CursorInvalidError {
  return new CursorInvalidError('The cursor holds a key that cannot be read')
}

export function otherTypes(): CursorMismatchError {
  return new CursorMismatchError(ofOtherTypes)
}

export const ofOtherTypes = 'The cursor belongs to another list: its keys have other types'
