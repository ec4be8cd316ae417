// What each error of a database, driver, pooler or proxy means, by its code, its number or its message.

/** The cause of a database error, in the same words for every database and driver. */
export type ErrorKind =
  | 'serialization'
  | 'deadlock'
  | 'lock-timeout'
  | 'busy'
  | 'connection'
  | 'unavailable'
  | 'too-many-connections'
  | 'timeout'
  | 'read-only'
  | 'stale-plan'
  | 'ambiguous-commit'
  | 'other'

/** @see PostgreSQL, appendix A */
export const postgresErrors: Readonly<Record<string, ErrorKind>> = {
  '40000': 'serialization',
  '40001': 'serialization',
  '40P01': 'deadlock',
  '55P03': 'lock-timeout',
  '53300': 'too-many-connections',
  '57P03': 'unavailable',
  '08001': 'unavailable',
  '08004': 'unavailable',
  '57P01': 'connection',
  '57P02': 'connection',
  '57P05': 'connection',
  '25P03': 'connection',
  '25P04': 'connection',
  '08000': 'connection',
  '08003': 'connection',
  '08006': 'connection',
  '57014': 'timeout',
  '25006': 'read-only',
  '40003': 'ambiguous-commit',
  '08007': 'ambiguous-commit',
}

/** @see MySQL 8.4, B.3; MariaDB, "Error codes"; 9001 is ProxySQL's */
export const mysqlErrors: Readonly<Record<number, ErrorKind>> = {
  1213: 'deadlock',
  1614: 'deadlock',
  3058: 'deadlock',
  1205: 'lock-timeout',
  1613: 'lock-timeout',
  3572: 'lock-timeout',
  1020: 'serialization',
  1412: 'serialization',
  3101: 'serialization',
  1040: 'too-many-connections',
  1203: 'too-many-connections',
  1226: 'too-many-connections',
  1637: 'too-many-connections',
  // Galera: the node has no quorum, or is not yet in sync.
  1047: 'unavailable',
  1129: 'unavailable',
  // The server is in offline mode, and closes the connection.
  3032: 'unavailable',
  2002: 'unavailable',
  2003: 'unavailable',
  2005: 'unavailable',
  9001: 'unavailable',
  1053: 'connection',
  1152: 'connection',
  1158: 'connection',
  1159: 'connection',
  1160: 'connection',
  1161: 'connection',
  1184: 'connection',
  1927: 'connection',
  2006: 'connection',
  2013: 'connection',
  2055: 'connection',
  3169: 'connection',
  4031: 'connection',
  1792: 'read-only',
  1836: 'read-only',
  3989: 'read-only',
  1317: 'timeout',
  1969: 'timeout',
  3024: 'timeout',
}

/** @see SQL Server, "Database engine events and errors"; Azure SQL, "Transient fault errors" */
export const mssqlErrors: Readonly<Record<number, ErrorKind>> = {
  1205: 'deadlock',
  3960: 'serialization',
  41301: 'serialization',
  41302: 'serialization',
  41305: 'serialization',
  41325: 'serialization',
  1222: 'lock-timeout',
  10928: 'too-many-connections',
  10929: 'too-many-connections',
  4060: 'unavailable',
  4221: 'unavailable',
  6005: 'unavailable',
  17142: 'unavailable',
  40143: 'unavailable',
  40501: 'unavailable',
  40540: 'unavailable',
  40613: 'unavailable',
  49918: 'unavailable',
  49919: 'unavailable',
  49920: 'unavailable',
  64: 'connection',
  121: 'connection',
  233: 'connection',
  10053: 'connection',
  10054: 'connection',
  10060: 'connection',
  40197: 'connection',
  3906: 'read-only',
}

/**
 * Primary result codes. SQLITE_LOCKED (6) is left out: it is a conflict within the process, which waiting does not
 * resolve.
 */
export const sqliteErrors: Readonly<Record<number, ErrorKind>> = { 5: 'busy', 8: 'read-only', 15: 'busy' }
export const sqliteNames: Readonly<Record<string, ErrorKind>> = {
  SQLITE_BUSY: 'busy',
  SQLITE_READONLY: 'read-only',
  SQLITE_PROTOCOL: 'busy',
}

/** Codes of Node and of the drivers. Where no connection was made, nothing has run. */
export const driverErrors: Readonly<Record<string, ErrorKind>> = {
  ECONNREFUSED: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EAI_FAIL: 'unavailable',
  EAI_NODATA: 'unavailable',
  EAI_NONAME: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  EHOSTDOWN: 'unavailable',
  ENETUNREACH: 'unavailable',
  ENETDOWN: 'unavailable',
  EADDRNOTAVAIL: 'unavailable',
  ERR_SOCKET_CONNECTION_TIMEOUT: 'unavailable',
  // The drivers over HTTP.
  UND_ERR_CONNECT_TIMEOUT: 'unavailable',
  UND_ERR_SOCKET: 'connection',
  // tedious
  EINSTLOOKUP: 'unavailable',
  // postgres.js
  CONNECT_TIMEOUT: 'unavailable',
  CONNECTION_CLOSED: 'connection',
  CONNECTION_ENDED: 'connection',
  CONNECTION_DESTROYED: 'connection',
  ECONNRESET: 'connection',
  ECONNABORTED: 'connection',
  EPIPE: 'connection',
  ETIMEDOUT: 'connection',
  ERR_SOCKET_CLOSED: 'connection',
  ERR_STREAM_DESTROYED: 'connection',
  ERR_STREAM_WRITE_AFTER_END: 'connection',
  ESOCKET: 'connection',
  ECONNCLOSED: 'connection',
  PROTOCOL_CONNECTION_LOST: 'connection',
  PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR: 'connection',
  // MySQL's errors without their number, and those of MariaDB's own driver.
  ER_LOCK_DEADLOCK: 'deadlock',
  ER_LOCK_WAIT_TIMEOUT: 'lock-timeout',
  ER_TABLE_DEF_CHANGED: 'serialization',
  ER_CON_COUNT_ERROR: 'too-many-connections',
  ER_GET_CONNECTION_TIMEOUT: 'too-many-connections',
  ER_CONNECTION_TIMEOUT: 'unavailable',
  ER_SOCKET_UNEXPECTED_CLOSE: 'connection',
  POOL_CONNLIMIT: 'too-many-connections',
  POOL_ENQUEUELIMIT: 'too-many-connections',
  POOL_NONEONLINE: 'unavailable',
  ETIMEOUT: 'timeout',
  PROTOCOL_SEQUENCE_TIMEOUT: 'timeout',
}

/** Messages of errors that have no code. The first match counts. */
export const messages: readonly (readonly [RegExp, ErrorKind])[] = [
  // Waiting for a connection: pg-pool; mysql2; tarn and Knex; generic-pool; PgBouncer; Supavisor; RDS Proxy; PgCat.
  [/^timeout exceeded when trying to connect$/i, 'too-many-connections'],
  [/^(?:queue limit reached|no connections available)\.?$/i, 'too-many-connections'],
  [/^operation timed out for an unknown reason$|^(?:knex: )?timeout acquiring a connection/i, 'too-many-connections'],
  [/^resourcerequest timed out$|^max waitingclients count exceeded$/i, 'too-many-connections'],
  [/^query_wait_timeout\b|^no more connections allowed|^client connections exceeded/i, 'too-many-connections'],
  [/max clients? (?:connections )?reached|^timed-out waiting to acquire database connection/i, 'too-many-connections'],
  [/^could not get connection from the pool/i, 'too-many-connections'],
  [/^(?:\(E\w+\) )?(?:unable to check out \w+ from the pool|max pools count reached)/i, 'too-many-connections'],
  // Connecting: pg; tedious; PgBouncer; Supavisor.
  [/^timeout expired$|^connection terminated due to connection timeout/i, 'unavailable'],
  [/disconnected before secure TLS connection/i, 'unavailable'],
  [/^failed to connect to .+ in \d+ ?ms/i, 'unavailable'],
  [/^pgbouncer cannot connect to server|^server login has been failing|^client_login_timeout/i, 'unavailable'],
  [/\b(?:database|pooler) is (?:paused|disabled)$|^(?:pgbouncer is|server) shutting down/i, 'unavailable'],
  [
    /^\((?:EPOOLCHECKOUT|ECHECKOUTRETRIES|ESUBSCRIBERETRIES|EPROXYSTARTFAILED|EPROXYSUPERVISORUNAVAILABLE|ECIRCUITBREAKER)\)/,
    'unavailable',
  ],
  [/^\(EAUTHQUERY\) .*(?:connection|timed out)/, 'unavailable'],
  // Running: pg; PgBouncer; Supavisor.
  [/^query read timeout$|^query_timeout$|^query timeout$/i, 'timeout'],
  [/^connection terminated|not queryable|connection has been discarded|server closed the connection/i, 'connection'],
  [
    /connection is in closed state|^server conn crashed|^client_idle_timeout|^(?:idle )?transaction timeout/i,
    'connection',
  ],
  [/^admin forced disconnect|^(?:\(E\w+\) )?DbHandler exited/i, 'connection'],
  // SQLite: drivers that pass on only the message.
  [/^(?:SQLITE_BUSY\b.*|database is locked)$/i, 'busy'],
]
