import type { TestProject } from 'vitest/node'
import {
  listens,
  type Server,
  type ServiceName,
  startMariadb,
  startMysql,
  startPostgres,
  startRedis,
} from './servers.ts'

interface Usual {
  readonly variable: string
  readonly start: () => Promise<Server | undefined>
  readonly port?: number
  readonly url?: string
  /** Debian has no such server, so no run requires it. */
  readonly isOptional?: boolean
}

const usual: { readonly [Name in ServiceName]: Usual } = {
  postgres: {
    variable: 'POSTGRES_URL',
    port: 5432,
    url: 'postgres://postgres@127.0.0.1:5432/postgres',
    start: startPostgres,
  },
  mariadb: { variable: 'MARIADB_URL', port: 3306, url: 'mysql://root@127.0.0.1:3306/test', start: startMariadb },
  // MySQL's usual port is MariaDB's.
  mysql: { variable: 'MYSQL_URL', start: startMysql, isOptional: true },
  redis: { variable: 'REDIS_URL', port: 6379, url: 'redis://127.0.0.1:6379', start: startRedis },
}

/**
 * Finds each service once for the whole run: an address in the environment, else the usual port, else a server started
 * in a temporary folder. What is not there is said loudly, and is an error where services are required.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const started: Server[] = []
  const found: { [Name in ServiceName]?: string } = {}
  for (const name of Object.keys(usual) as ServiceName[]) {
    const { variable, port, url, start, isOptional } = usual[name]
    const address = process.env[variable] ?? (port !== undefined && (await listens(port)) ? url : undefined)
    const server = address === undefined ? await start() : undefined
    if (server !== undefined) started.push(server)
    const reachable = address ?? server?.url
    if (reachable !== undefined) found[name] = reachable
    else if (process.env.REQUIRE_SERVICES === '1' && !isOptional)
      throw new Error(`REQUIRE_SERVICES=1, and there is no ${name}`)
    else {
      console.warn(
        `\n  SKIPPED: ${name}. Nothing at ${variable}${port === undefined ? '' : `, nothing on port ${port}`}, no server program on the PATH:`,
      )
      console.warn(`  every test that needs ${name} is skipped in this run.\n`)
    }
  }
  project.provide('services', found)
  return async () => {
    await Promise.all(started.map((server) => server.stop()))
  }
}
