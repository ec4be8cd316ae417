import { type Casing, toSnake } from '../shared/casing.ts'

/** The fields of a page under the names of the casing; their values are left as they are. */
export function cased(fields: object, casing: Casing): object {
  if (casing === 'camel') return fields
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [toSnake(name), value]))
}
