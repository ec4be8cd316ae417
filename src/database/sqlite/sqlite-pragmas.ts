/**
 * The settings that a server needs of SQLite, as statements to execute on a new connection:
 *
 * - a write-ahead log, so that readers and the writer do not wait for each other
 * - `synchronous = normal`, which is safe with that log
 * - a wait of up to five seconds for locks; the default is none
 * - foreign keys, which are off by default
 * - sorting in memory
 * - a cache of 16 MiB
 * - a log file that shrinks to 64 MiB after it was larger
 *
 * @see https://sqlite.org/pragma.html
 *
 * @example
 * ```ts
 * for (const pragma of sqlitePragmas()) database.exec(pragma)
 * ```
 */
export function sqlitePragmas(): readonly string[] {
  return [
    'pragma journal_mode = wal',
    'pragma synchronous = normal',
    'pragma busy_timeout = 5000',
    'pragma foreign_keys = on',
    'pragma temp_store = memory',
    'pragma cache_size = -16384',
    'pragma journal_size_limit = 67108864',
  ]
}
