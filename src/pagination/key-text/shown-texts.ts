import type { SqlDialect } from '../../shared/sql/dialect.ts'
import type { OrderKey } from '../seek/sort-keys.ts'
import { typeOf } from './postgres.ts'
import { replacement } from './sqlite.ts'

/** Makes the text of a key from the value that a row shows, if the value tells the whole text. */
export interface ShownText {
  /** @param like - the text of the key in another row; `null` for NULL */
  canWrite(value: unknown, key: OrderKey, like: string | null): boolean
  write(value: unknown, like: string): string
}

export const shownTexts: { readonly [Dialect in SqlDialect]?: ShownText } = {
  sqlite: {
    // A plugin may turn some texts into numbers, or some numbers into texts: the type must be that of `like`.
    canWrite: (value, _key, like) => {
      if (typeof value === 'string') return like?.startsWith('t') !== false && !value.includes(replacement)
      if (like?.startsWith('t')) return false
      return typeof value === 'number' ? Math.abs(value) <= Number.MAX_SAFE_INTEGER : typeof value === 'bigint'
    },
    write: (value) => (typeof value === 'string' ? `t${value}` : String(value)),
  },
  postgres: {
    canWrite: (value, _key, like) =>
      shownAs[typeOf(like ?? '')]?.includes(typeof value) === true &&
      (typeof value !== 'number' || Number.isSafeInteger(value)),
    write: (value, like) => `${typeOf(like)}:${value}`,
  },
  mysql: {
    // Strings are not accepted, though a driver may give them for a BIGINT: the column may have become a text since.
    canWrite: (value, { type, inner }) => type === 'integer' && inner === undefined && Number.isSafeInteger(value),
    write: (value) => `n${value}`,
  },
}

/** The types of JavaScript in which drivers give int8, int2, int4 and uuid, by their oids. */
const shownAs: { readonly [Type in string]?: readonly string[] } = {
  20: ['string', 'number', 'bigint'],
  21: ['number'],
  23: ['number'],
  2950: ['string'],
}
