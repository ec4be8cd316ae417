import type { OrderKey } from './ordered-query.ts'
import type { Position } from './position.ts'
import type { Row } from './source.ts'

/** The row as the user asked for it, without the columns that statements add: `phk0`, `pho0`, `phn0`, `phx0`, ... */
export function visible(row: Row): Row {
  const shown: Row = {}
  for (const name in row) if (!isHidden(name)) shown[name] = row[name]
  return shown
}

/** The place of a row in the order. */
export function positionOf(row: Row, keys: readonly OrderKey[]): Position {
  return keys.map((_key, at) => row[textName(at)] as string | null)
}

/** Whether the row is the one at the position. */
export function isAt(row: Row, position: Position): boolean {
  return position.every((text, at) => row[textName(at)] === text)
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
  return row && keys.find((key, at) => !key.nullable && (row[`phn${at}`] ?? null) !== null)
}

const textNames = ['phk0', 'phk1', 'phk2', 'phk3']

function textName(at: number): string {
  return textNames[at] ?? `phk${at}`
}

function isHidden(name: string): boolean {
  // Most names are told by their first letters, and this runs for every value of a page.
  return name.charCodeAt(0) === 112 && name.charCodeAt(1) === 104 && /^ph[konx]\d+$/.test(name)
}
