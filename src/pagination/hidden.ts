import type { OrderKey } from './ordered-query.ts'
import type { Position } from './position.ts'
import type { Row } from './source.ts'

/** The rows as the user asked for them, without the columns that statements add: `phk0`, `pho0`, `phn0`, `phx0`, ... */
export function visible(rows: readonly Row[]): Row[] {
  // Nearly always all rows have the columns of the first; a copy of an object that has them already is filled fastest.
  const empty: Row = {}
  for (const name in rows[0]) if (!hiddenName.test(name)) empty[name] = undefined
  const width = Object.keys(rows[0] ?? {}).length
  return rows.map((row) => (Object.keys(row).length === width && filled({ ...empty }, row)) || shownOf(row))
}

/** The copy with the values of the row, unless the row lacks a column: a plugin of the user's may leave some out. */
function filled(copy: Row, row: Row): Row | undefined {
  for (const name in copy) {
    const value = row[name]
    if (value === undefined) return undefined
    copy[name] = value
  }
  return copy
}

function shownOf(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !hiddenName.test(name)))
}

/** The place of a row in the order. */
export function positionOf(row: Row, keys: readonly OrderKey[]): Position {
  return keys.map((_key, at) => textOf(row, at))
}

/** Whether the row is the one at the position. */
export function isAt(row: Row, position: Position): boolean {
  return position.every((text, at) => textOf(row, at) === text)
}

/** The key that is NULL in some row, though it should be in none. */
export function nullKey(rows: readonly Row[], keys: readonly OrderKey[]): OrderKey | undefined {
  return keys.find((key, at) => {
    if (key.nullable) return false
    const name = textName(at)
    for (const row of rows) if (row[name] === null || row[name] === undefined) return true
    return false
  })
}

/** The same for rows that a statement did not give, but looked for. */
export function nullKeyAhead(row: Row | undefined, keys: readonly OrderKey[]): OrderKey | undefined {
  return row && keys.find((key, at) => !key.nullable && !key.unique && (row[`phn${at}`] ?? null) !== null)
}

const hiddenName = /^ph[konx]\d+$/

const textNames = ['phk0', 'phk1', 'phk2', 'phk3']

function textOf(row: Row, at: number): string | null {
  const text = row[textName(at)] ?? null
  return text === null ? null : String(text)
}

function textName(at: number): string {
  return textNames[at] ?? `phk${at}`
}
