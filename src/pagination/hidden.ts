import type { OrderKey } from './ordered-query.ts'
import type { Position } from './position.ts'
import type { Row } from './source.ts'

/** The rows as the user asked for them, without the columns that statements add: `phk0`, `pho0`, `phn0`, `phx0`, ... */
export function visible(rows: readonly Row[]): Row[] {
  // Nearly always all rows have the columns of the first; a plugin of the user's may leave some out row by row.
  const names = Object.keys(rows[0] ?? {})
  const copy = copierOf(names)
  return rows.map((row) => (hasColumns(row, names) ? copy(row) : shownOf(row)))
}

function hasColumns(row: Row, names: readonly string[]): boolean {
  let at = 0
  for (const name in row) if (name !== names[at++]) return false
  return at === names.length
}

const copiers = new Map<string, (row: Row) => Row>()

function copierOf(names: readonly string[]): (row: Row) => Row {
  const shape = JSON.stringify(names)
  const known = copiers.get(shape)
  if (known !== undefined) return known
  const copier = generatedCopier(names.filter((name) => !hiddenName.test(name))) ?? shownOf
  if (copiers.size < 1_000) copiers.set(shape, copier)
  return copier
}

/** Writes a row's columns as a literal, which copies five times as fast as a loop; `undefined` where that is forbidden. */
function generatedCopier(names: readonly string[]): ((row: Row) => Row) | undefined {
  const columns = names.map((name) => JSON.stringify(name)).map((name) => `[${name}]: row[${name}]`)
  try {
    return new Function('row', `return { ${columns.join(', ')} }`) as (row: Row) => Row
  } catch {
    return undefined
  }
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
  // NULLs of the first key stand together, at one end.
  const ends = rows.length > 2 ? [rows[0] as Row, rows.at(-1) as Row] : rows
  return keys.find((key, at) => {
    if (key.nullable) return false
    const name = textName(at)
    for (const row of at === 0 ? ends : rows) if (row[name] === null || row[name] === undefined) return true
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
