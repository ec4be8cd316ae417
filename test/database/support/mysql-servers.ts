import { type RawBuilder, sql } from 'kysely'
import { findBinary, findMysqld, type Server, startMariadb, startMysql } from '../../support/servers.ts'
import { services } from '../../support/services.ts'

export type MysqlServerName = 'mariadb' | 'mysql'

/** The servers that `mysql2` speaks to, with the address of the one that this run has. */
export const mysqlServers: readonly { readonly server: MysqlServerName; readonly url: string | undefined }[] = [
  { server: 'mariadb', url: services.mariadb },
  { server: 'mysql', url: services.mysql },
]

interface OwnServer {
  readonly server: MysqlServerName
  readonly start: () => Promise<Server | undefined>
  readonly isMissing: boolean
}

/** Servers of a test's own, which it may kill. */
export const ownMysqlServers: readonly OwnServer[] = [
  { server: 'mariadb', start: startMariadb, isMissing: findBinary('mariadbd') === undefined },
  { server: 'mysql', start: startMysql, isMissing: findMysqld() === undefined },
]

/** The numbers from 1 to `count` as a table with a column `seq`; only MariaDB has such tables itself. */
export function numbersTo(count: number): string {
  return `(${Array.from({ length: count }, (_, index) => `select ${index + 1} as seq`).join(' union all ')}) as numbers`
}

const collations = ['a', 'b', 'c'].map((alias) => `information_schema.collations ${alias}`).join(', ')

/**
 * Counts a hundred million rows, which ends after half a minute or so if nothing ends it before. Unlike `sleep`, which MySQL lets return
 * when it is killed, it fails.
 */
export const endlessQuery: RawBuilder<{ n: number }> = sql.raw(
  `select count(*) as n from ${collations}, ${numbersTo(4)} where a.id + b.id + c.id + seq = 0`,
)
