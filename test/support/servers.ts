import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'

export type ServiceName = 'postgres' | 'mariadb' | 'mysql' | 'redis'

/** Addresses of the servers that this run can reach; a service without one is skipped, loudly. */
export type Services = { readonly [Name in ServiceName]?: string }

/** A server of a test's own, which it may kill, stop and start again. */
export interface Server {
  readonly url: string
  readonly port: number
  /** The running process, for signals. */
  readonly process: ChildProcess
  /** Ends it on the spot. What it had committed is there when it is started again. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it where it was, after it was killed. */
  restart(): Promise<void>
  /** Ends it for good, and takes its folder away. */
  stop(): Promise<void>
}

/**
 * A port below those that the system gives to outgoing connections (Linux: 32,768 to 60,999), so that no client takes
 * it while a server that had it is down.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
}

/** A port for a node of a Redis Cluster, which listens for other nodes 10,000 above it: that too is no client's. */
export async function freeClusterPort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 22_000)
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const listened = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
  })
  if (listened) await new Promise((resolve) => server.close(resolve))
  return listened
}

/** Whether something accepts connections at the port of this machine. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const answer = (result: boolean) => {
      socket.destroy()
      resolve(result)
    }
    socket.once('connect', () => answer(true)).once('error', () => answer(false))
    socket.setTimeout(1_000, () => answer(false))
  })
}

/** Starts a Redis of the test's own; `undefined` when there is no `redis-server` on the PATH. */
export async function startRedis(options: readonly string[] = [], port?: number): Promise<Server | undefined> {
  const binary = findBinary('redis-server')
  if (binary === undefined) return undefined
  const chosen = port ?? (await freePort())
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-redis-'))
  const settings = ['--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
  const args = ['--port', String(chosen), ...settings, ...options]
  return launch(binary, args, chosen, `redis://127.0.0.1:${chosen}`, { folder })
}

/** Starts a sentinel that watches a Redis under the name `main`, and promotes its replica once it is gone for half a second. */
export async function startSentinel(primary: Server): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-sentinel-'))
  const port = await freePort()
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
    'sentinel down-after-milliseconds main 500',
    'sentinel failover-timeout main 2000',
  ]
  const config = join(folder, 'sentinel.conf')
  writeFileSync(config, `${lines.join('\n')}\n`)
  const url = `redis://127.0.0.1:${port}`
  return launch(findBinary('redis-server') as string, [config, '--sentinel'], port, url, { folder })
}

/** Starts a PostgreSQL of the test's own; `undefined` when its server programs are not installed. */
export async function startPostgres(options: readonly string[] = []): Promise<Server | undefined> {
  const initdb = findBinary('initdb')
  const postgres = findBinary('postgres')
  if (initdb === undefined || postgres === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-postgres-'))
  const user = ownerFor(folder, 'postgres')
  execFileSync(initdb, ['-D', folder, '-U', 'postgres', '--auth=trust', '--no-sync', '-E', 'UTF8'], {
    ...user,
    stdio: 'ignore',
  })
  const port = await freePort()
  const args = ['-D', folder, '-p', String(port), '-h', '127.0.0.1', '-k', folder, '-F', ...options]
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  return launch(postgres, args, port, url, { folder, user, isReady: () => answersPostgres(url) })
}

/** Whether a PgBouncer can be started. If not, that is said loudly, and is an error where services are required. */
export function hasPgbouncer(): boolean {
  if (findBinary('pgbouncer') !== undefined) return true
  const message = 'There is no pgbouncer on the PATH (Debian: apt-get install pgbouncer)'
  if (process.env.REQUIRE_SERVICES === '1') throw new Error(`REQUIRE_SERVICES=1. ${message}`)
  console.warn(`\n  SKIPPED: pgbouncer. ${message}: every test that needs it is skipped in this run.\n`)
  return false
}

/** Starts a PgBouncer of the test's own in front of a PostgreSQL, in transaction mode; see {@link hasPgbouncer}. */
export async function startPgbouncer(url: string, settings: readonly string[] = []): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-pgbouncer-'))
  const port = await freePort()
  const { hostname, port: target, username, password, pathname } = new URL(url)
  const database = pathname.slice(1)
  const users = join(folder, 'users.txt')
  writeFileSync(users, `"${username}" "${decodeURIComponent(password)}"\n`)
  const lines = [
    '[databases]',
    `${database} = host=${hostname} port=${target || 5432} dbname=${database}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${users}`,
    'pool_mode = transaction',
    'max_client_conn = 500',
    ...settings,
  ]
  const config = join(folder, 'pgbouncer.ini')
  writeFileSync(config, `${lines.join('\n')}\n`)
  const user = ownerFor(folder, 'postgres')
  return launch(
    findBinary('pgbouncer') as string,
    [config],
    port,
    `postgres://${username}@127.0.0.1:${port}/${database}`,
    { folder, user },
  )
}

/** Starts a MariaDB of the test's own; `undefined` when its server programs are not installed. */
export async function startMariadb(options: readonly string[] = []): Promise<Server | undefined> {
  const install = findBinary('mariadb-install-db')
  const mariadbd = findBinary('mariadbd')
  if (install === undefined || mariadbd === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-mariadb-'))
  const user = ownerFor(folder, 'mysql')
  // Each server deletes the temporary tables it finds when it starts: in a folder that servers share, those of others.
  const own = ['--no-defaults', `--datadir=${folder}`, `--tmpdir=${folder}`]
  execFileSync(install, [...own, '--auth-root-authentication-method=normal'], { ...user, stdio: 'ignore' })
  const port = await freePort()
  const args = [...own, `--port=${port}`, '--bind-address=127.0.0.1', `--socket=${folder}/socket`, ...options]
  return launch(mariadbd, args, port, `mysql://root@127.0.0.1:${port}/test`, { folder, user })
}

/** Starts a MySQL of the test's own; `undefined` when the `mysqld` of this machine is none, or is MariaDB's. */
export async function startMysql(options: readonly string[] = []): Promise<Server | undefined> {
  const mysqld = findMysqld()
  if (mysqld === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-mysql-'))
  const user = ownerFor(folder, 'mysql')
  const own = ['--no-defaults', `--datadir=${join(folder, 'data')}`, `--tmpdir=${folder}`, '--secure-file-priv=']
  execFileSync(mysqld, [...own, '--initialize-insecure'], { ...user, stdio: 'ignore' })
  const port = await freePort()
  const sockets = [`--socket=${join(folder, 'socket')}`, '--mysqlx=OFF', '--bind-address=127.0.0.1']
  const args = [...own, `--port=${port}`, ...sockets, ...options]
  return launch(mysqld, args, port, `mysql://root@127.0.0.1:${port}/mysql`, { folder, user })
}

interface Launch {
  /** Taken away when the server is stopped. */
  readonly folder?: string
  readonly user?: { readonly uid?: number; readonly gid?: number }
  /** Whether it answers, once it listens. */
  readonly isReady?: () => Promise<boolean>
}

async function launch(
  binary: string,
  args: readonly string[],
  port: number,
  url: string,
  { folder, user, isReady = () => Promise.resolve(true) }: Launch = {},
): Promise<Server> {
  let child!: ChildProcess
  const start = async () => {
    child = spawn(binary, args, { stdio: 'ignore', ...user })
    // A MySQL that was killed repairs its tables first.
    const deadline = Date.now() + 45_000
    while (!((await listens(port)) && (await isReady()))) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`${binary} did not start on port ${port}`)
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }
  const kill = (signal: NodeJS.Signals = 'SIGKILL') =>
    new Promise<void>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve()
      child.once('exit', () => resolve())
      child.kill(signal)
    })
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  await start()
  return {
    url,
    port,
    get process() {
      return child
    },
    kill,
    restart: start,
    async stop() {
      process.off('exit', killNow)
      await kill()
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** PostgreSQL listens before it lets anybody in: until then it answers 57P03. */
async function answersPostgres(url: string): Promise<boolean> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end()
  }
}

/** Database servers refuse to run as root: as root, the folder and the process go to the server's own user. */
function ownerFor(folder: string, name: string): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }))
  const user = { uid: id('-u'), gid: id('-g') }
  chownSync(folder, user.uid, user.gid)
  return user
}

/** The server program of MySQL. MariaDB calls its own `mysqld` too. */
export function findMysqld(): string | undefined {
  const mysqld = findBinary('mysqld')
  const isMariadb = mysqld && execFileSync(mysqld, ['--version'], { encoding: 'utf8' }).includes('MariaDB')
  return isMariadb ? undefined : mysqld
}

export function findBinary(name: string): string | undefined {
  const postgres = '/usr/lib/postgresql'
  const versions = existsSync(postgres) ? readdirSync(postgres).map((version) => join(postgres, version, 'bin')) : []
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', ...versions]
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file))
}
