import { createConnection, createPool } from 'mysql2'
import pg from 'pg'
import { CommitAmbiguousError, classifyError, PoolTimeoutError, QueryTimeoutError } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { findBinary, freePort, hasPgbouncer, type Server, startPgbouncer, startPostgres } from '../support/servers.ts'
import { services } from '../support/services.ts'

const message = (text: string, fields: object = {}) => Object.assign(new Error(text), fields)
const pooler = (text: string) => message(text, { severity: 'FATAL', code: '08P01' })
const supavisor = (text: string) => message(text, { severity: 'FATAL', code: 'XX000' })
const mysql = (errno: number, text = '') => message(text, { errno, sqlState: 'HY000', code: 'ER_X' })
const lostInCommit = new CommitAmbiguousError('lost', { cause: { code: '57P01', severity: 'FATAL' } })
const socket = (code: string, syscall: string) => message(`${syscall} ${code}`, { code, syscall, errno: -1 })

describe('classifyError of drivers, poolers and proxies', () => {
  it.each([
    [message('timeout exceeded when trying to connect'), 'too-many-connections', 'after-delay'],
    [message('Connection terminated due to connection timeout'), 'unavailable', 'after-delay'],
    [message('timeout expired'), 'unavailable', 'after-delay'],
    [message('Query read timeout'), 'timeout', 'no'],
    [pooler('query_wait_timeout'), 'too-many-connections', 'after-delay'],
    [pooler('no more connections allowed (max_client_conn)'), 'too-many-connections', 'after-delay'],
    [pooler('pgbouncer cannot connect to server'), 'unavailable', 'after-delay'],
    [pooler('server login has been failing, try again later (server_login_retry)'), 'unavailable', 'after-delay'],
    [pooler('server conn crashed?'), 'connection', 'statement-if-idempotent'],
    [pooler('query_timeout'), 'timeout', 'no'],
    [pooler('client connections exceeded (max_db_client_connections)'), 'too-many-connections', 'after-delay'],
    [pooler('server shutting down'), 'unavailable', 'after-delay'],
    [pooler('admin forced disconnect'), 'connection', 'statement-if-idempotent'],
    [supavisor('Unable to check out process from the pool due to timeout'), 'too-many-connections', 'after-delay'],
    [
      supavisor('(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms in Session mode'),
      'too-many-connections',
      'after-delay',
    ],
    [supavisor('(EMAXPOOLSREACHED) max pools count reached'), 'too-many-connections', 'after-delay'],
    [supavisor('(EPOOLCHECKOUT) pool checkout failed: :noproc'), 'unavailable', 'after-delay'],
    [supavisor('(ECIRCUITBREAKER) too many failed attempts to connect to the database'), 'unavailable', 'after-delay'],
    [
      supavisor('(EAUTHQUERY) authentication query failed: connection to database not available'),
      'unavailable',
      'after-delay',
    ],
    [supavisor('(EAUTHQUERY) user not found in the database'), 'other', 'no'],
    [
      supavisor('(EDBHANDLEREXITED) DbHandler exited. Check logs for more information'),
      'connection',
      'statement-if-idempotent',
    ],
    [message('MaxClientsInSessionMode: max clients reached', { code: 'XX000' }), 'too-many-connections', 'after-delay'],
    [message('Timed-out waiting to acquire database connection'), 'too-many-connections', 'after-delay'],
    [message('terminating connection', { severity: 'FATAL', code: '25P04' }), 'connection', 'statement-if-idempotent'],
    [
      message('Table definition has changed, please retry transaction', { errno: 1412, code: 'ER_TABLE_DEF_CHANGED' }),
      'serialization',
      'transaction',
    ],
    [message('transaction rolled back', { severity: 'ERROR', code: '40000' }), 'serialization', 'transaction'],
    [message('constraint', { severity: 'ERROR', code: '40002' }), 'other', 'no'],
    [mysql(1047, 'WSREP has not yet prepared node for application use'), 'unavailable', 'after-delay'],
    [mysql(9001, 'Max connect timeout reached while reaching hostgroup 0'), 'unavailable', 'after-delay'],
    [mysql(1290, 'running with the --secure-file-priv option so it cannot execute this statement'), 'other', 'no'],
    [
      mysql(1290, 'running with the --read-only option so it cannot execute this statement'),
      'read-only',
      'after-delay',
    ],
    [message('Queue limit reached.'), 'too-many-connections', 'after-delay'],
    [message('No connections available.'), 'too-many-connections', 'after-delay'],
    [message('operation timed out for an unknown reason'), 'too-many-connections', 'after-delay'],
    [
      message('Knex: Timeout acquiring a connection. The pool is probably full.'),
      'too-many-connections',
      'after-delay',
    ],
    [socket('ENETUNREACH', 'connect'), 'unavailable', 'after-delay'],
    [socket('ETIMEDOUT', 'connect'), 'unavailable', 'after-delay'],
    [socket('ENOENT', 'connect'), 'unavailable', 'after-delay'],
    [socket('ENOENT', 'open'), 'other', 'no'],
    [socket('ETIMEDOUT', 'read'), 'connection', 'statement-if-idempotent'],
    [message('', { code: 'CONNECT_TIMEOUT', errno: 'CONNECT_TIMEOUT' }), 'unavailable', 'after-delay'],
    [message('', { code: 'CONNECTION_CLOSED' }), 'connection', 'statement-if-idempotent'],
    [message('Failed to connect to db:1433 in 15000ms', { code: 'ETIMEOUT' }), 'unavailable', 'after-delay'],
    [message('Timeout: Request failed to complete in 15000ms', { code: 'ETIMEOUT' }), 'timeout', 'no'],
    [message('database is locked'), 'busy', 'transaction'],
    [message('database table is locked'), 'other', 'no'],
    [
      new Error('wrapped', { cause: new Error('twice', { cause: { code: '40P01', severity: 'ERROR' } }) }),
      'deadlock',
      'transaction',
    ],
    [new AggregateError([socket('ECONNREFUSED', 'connect')]), 'unavailable', 'after-delay'],
    [new AggregateError([message('', { code: '40P01', severity: 'ERROR' }), lostInCommit]), 'ambiguous-commit', 'no'],
    // Node tries each address of a host. The error of all has the code of the first, and does not say that it was connecting.
    [
      Object.assign(new AggregateError([socket('ETIMEDOUT', 'connect'), socket('ETIMEDOUT', 'connect')]), {
        code: 'ETIMEDOUT',
      }),
      'unavailable',
      'after-delay',
    ],
    [message('connect', { code: 'ERR_SOCKET_CONNECTION_TIMEOUT' }), 'unavailable', 'after-delay'],
    [socket('EAI_NODATA', 'getaddrinfo'), 'unavailable', 'after-delay'],
    [
      message('Client network socket disconnected before secure TLS connection was established', {
        code: 'ECONNRESET',
      }),
      'unavailable',
      'after-delay',
    ],
    [
      new TypeError('fetch failed', { cause: message('Connect Timeout Error', { code: 'UND_ERR_CONNECT_TIMEOUT' }) }),
      'unavailable',
      'after-delay',
    ],
    [
      new TypeError('fetch failed', { cause: message('other side closed', { code: 'UND_ERR_SOCKET' }) }),
      'connection',
      'statement-if-idempotent',
    ],
    [message('ResourceRequest timed out'), 'too-many-connections', 'after-delay'],
    [message('max waitingClients count exceeded'), 'too-many-connections', 'after-delay'],
    [
      message('retrieve connection from pool timeout', {
        errno: 45028,
        sqlState: 'HY000',
        code: 'ER_GET_CONNECTION_TIMEOUT',
      }),
      'too-many-connections',
      'after-delay',
    ],
    [
      message('socket has unexpectedly been closed', {
        errno: 45038,
        sqlState: '08S01',
        code: 'ER_SOCKET_UNEXPECTED_CLOSE',
      }),
      'connection',
      'statement-if-idempotent',
    ],
    [message('deadlock', { code: 'ER_LOCK_DEADLOCK' }), 'deadlock', 'transaction'],
    [message('deadlock', { code: 'ER_LOCK_WAIT_TIMEOUT' }), 'lock-timeout', 'transaction'],
    [mysql(3058), 'deadlock', 'transaction'],
    [mysql(3032, 'The server is currently in offline mode'), 'unavailable', 'after-delay'],
    [mysql(3989, "Schema 'app' is in read only mode."), 'read-only', 'after-delay'],
    [
      message('The client was disconnected by the server because of inactivity.', { code: 4031, fatal: true }),
      'connection',
      'statement-if-idempotent',
    ],
    [message('canceled', { code: 1 }), 'other', 'no'],
    [mysql(3169), 'connection', 'statement-if-idempotent'],
    [message('locking protocol', { code: 'SQLITE_PROTOCOL' }), 'busy', 'transaction'],
    [pooler('transaction timeout'), 'connection', 'statement-if-idempotent'],
    [new Error('save failed', { cause: new PoolTimeoutError('full', []) }), 'too-many-connections', 'after-delay'],
    [new QueryTimeoutError('late', { cause: { code: '40001' } }), 'timeout', 'no'],
  ] as const)('knows %s as %s, to be retried: %s', (error, kind, retry) => {
    expect(classifyError(error)).toEqual({ kind, retry })
  })

  it('ends where causes run in a circle', () => {
    const [one, other] = [new Error('one'), new Error('other')]
    one.cause = other
    other.cause = one
    expect(classifyError(one)).toEqual({ kind: 'other', retry: 'no' })
  })

  it('knows a server that is not there', async () => {
    const client = new pg.Client({ host: 'localhost', port: await freePort() })
    const error = await client.connect().catch((error) => error)
    expect(classifyError(error, 'postgres').kind).toBe('unavailable')
  })

  it.skipIf(!services.mysql)('knows a connection that MySQL has closed because it was idle', async () => {
    const connection = createConnection(services.mysql as string)
    const lost = new Promise((resolve) => connection.on('error', resolve))
    await connection.promise().query('set wait_timeout = 1')
    expect(classifyError(await lost)).toEqual({ kind: 'connection', retry: 'statement-if-idempotent' })
    const error = await connection
      .promise()
      .query('select 1')
      .catch((error) => error)
    expect(classifyError(error).kind).toBe('connection')
  })

  it.skipIf(!services.mariadb && !services.mysql)('knows the full pool of mysql2', async () => {
    const pool = createPool({ uri: (services.mariadb ?? services.mysql) as string, connectionLimit: 1, queueLimit: 1 })
    const connection = await new Promise<{ release(): void }>((resolve) => pool.getConnection((_, one) => resolve(one)))
    pool.getConnection((_, one) => one?.release())
    const error = await new Promise((resolve) => pool.getConnection((error) => resolve(error)))
    expect(classifyError(error, 'mysql')).toEqual({ kind: 'too-many-connections', retry: 'after-delay' })
    connection.release()
    await new Promise<void>((resolve) => pool.end(() => resolve()))
  })

  describe.skipIf(findBinary('initdb') === undefined || !hasPgbouncer())('behind PgBouncer', () => {
    let server: Server
    beforeAll(async () => {
      server = (await startPostgres()) as Server
    })
    afterAll(() => server?.stop())

    async function connect(settings: string[], options: pg.PoolConfig = {}) {
      const bouncer = await startPgbouncer(server.url, settings)
      const pool = new pg.Pool({ connectionString: bouncer.url, ...options })
      pool.on('error', () => {})
      onTestFinished(async () => {
        await bouncer.stop()
        await pool.end()
      })
      return pool
    }
    const failure = async (promise: Promise<unknown>) =>
      classifyError(await promise.catch((error) => error), 'postgres')

    it('knows who waits too long for a connection of the server', async () => {
      const pool = await connect(['default_pool_size = 1', 'query_wait_timeout = 1'])
      const holder = pool.query('select pg_sleep(5)').catch(() => {})
      await pool.query('select 1').catch(() => {})
      expect(await failure(pool.query('select 1'))).toEqual({ kind: 'too-many-connections', retry: 'after-delay' })
      void holder
    })

    it('knows that no more clients are let in', async () => {
      const pool = await connect(['max_client_conn = 2'])
      const clients = await Promise.allSettled([1, 2, 3].map(() => pool.connect()))
      for (const client of clients) if (client.status === 'fulfilled') client.value.release(true)
      const refused = clients.find(({ status }) => status === 'rejected') as PromiseRejectedResult
      expect(classifyError(refused.reason)).toEqual({ kind: 'too-many-connections', retry: 'after-delay' })
    })

    it("knows the timeouts of pg's own pool and client", async () => {
      const pool = await connect([], { max: 1, connectionTimeoutMillis: 3_000, query_timeout: 200 })
      const client = await pool.connect()
      expect(await failure(pool.connect())).toEqual({ kind: 'too-many-connections', retry: 'after-delay' })
      expect(await failure(client.query('select pg_sleep(1)'))).toEqual({ kind: 'timeout', retry: 'no' })
      client.release(true)
    })
  })
})
