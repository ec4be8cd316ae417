import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { Position } from '../cursor.ts'
import type { OrderKey } from '../seek/sort-keys.ts'
import { unreadable } from './key-text.ts'

/**
 * The position of key values that the application decoded from a cursor of its own.
 *
 * @param values - as a driver gives them, or as JSON does: texts, numbers, bigints, booleans, dates, bytes and null
 * @throws CursorInvalidError when they are not the values of these keys
 */
export function positionOfValues(values: readonly unknown[], keys: readonly OrderKey[], dialect: SqlDialect): Position {
  if (values.length !== keys.length) throw unreadable()
  return values.map((value, at) => (value === null ? null : writers[dialect](value, keys[at] as OrderKey)))
}

type Writer = (value: unknown, key: OrderKey) => string

/** Type 1 is the mark of a text without a known type: the database reads it as a value of the key's type. */
const writePostgres: Writer = (value) => {
  if (value instanceof Uint8Array) return `1:\\x${Buffer.from(value).toString('hex')}`
  if (value instanceof Date) return `1:${localTime(value)}${offsetOf(value)}`
  return `1:${typeof value === 'object' && value !== null ? JSON.stringify(value) : plainText(value)}`
}

const writeSqlite: Writer = (value) => {
  if (value instanceof Uint8Array) return `X'${Buffer.from(value).toString('hex').toUpperCase()}'`
  if (value instanceof Date) return `t${value.toISOString()}`
  if (typeof value === 'boolean') return value ? '1' : '0'
  return typeof value === 'string' ? `t${value}` : plainText(value)
}

const writeMysql: Writer = (value, { type = 'computed' }) => {
  if (type === 'timestamp') return `t${secondsOf(value)}`
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('base64')}`
  const text =
    value instanceof Date ? localTime(value) : typeof value === 'boolean' ? String(Number(value)) : plainText(value)
  if (type === 'plain' || type === 'opaque') return `s${text}`
  const isText = typeof type === 'object' || type === 'string' || type === 'bytes'
  if (type === 'zoned' && value instanceof Date) throw unreadable()
  if ((type === 'computed' || type === 'zoned') && typeof value === 'string') return `u${text}`
  if (type === 'computed' && value instanceof Date) return `s${text}`
  return `${isText ? 'u' : 'n'}${text}`
}

const writers: { readonly [Dialect in SqlDialect]: Writer } = {
  postgres: writePostgres,
  sqlite: writeSqlite,
  mysql: writeMysql,
  mssql: (value) => (value instanceof Date ? value.toISOString().slice(0, -1) : plainText(value)),
}

function plainText(value: unknown): string {
  const isNumber = typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value))
  if (!isNumber && typeof value !== 'string' && typeof value !== 'boolean') throw unreadable()
  return String(value)
}

/** In the time zone of the process, as `pg` and mysql2 write dates. */
function localTime(date: Date): string {
  if (Number.isNaN(date.getTime())) throw unreadable()
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000)
  return local.toISOString().slice(0, -1).replace('T', ' ')
}

function offsetOf(date: Date): string {
  const minutes = -date.getTimezoneOffset()
  const [hours, rest] = [Math.trunc(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((part) =>
    String(part).padStart(2, '0'),
  )
  return `${minutes < 0 ? '-' : '+'}${hours}:${rest}`
}

/** Seconds since 1970. A text keeps its microseconds. */
function secondsOf(value: unknown): string {
  const date = value instanceof Date ? value : new Date(plainText(value))
  const seconds = Math.floor(date.getTime() / 1_000)
  if (!(seconds >= 0)) throw unreadable()
  const fraction =
    typeof value === 'string' ? /:\d\d\.(\d{1,6})/.exec(value)?.[1] : String(date.getMilliseconds()).padStart(3, '0')
  return fraction === undefined ? String(seconds) : `${seconds}.${fraction}`
}
