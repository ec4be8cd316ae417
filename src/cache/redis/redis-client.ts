import { describeValue } from '../../shared/arguments.ts'
import { loadPeer } from '../../shared/platform/peers.ts'
import { isRedisUrl, redisUrlForm } from '../../shared/redis-url.ts'

/**
 * The methods of a node-redis client, cluster or sentinel (5 or later) that the cache calls. Declared without a type of the
 * package.
 */
export interface RedisClientLike {
  readonly isOpen: boolean
  /** Missing on a cluster. */
  readonly isReady?: boolean
  connect(): Promise<unknown>
  close(): Promise<unknown>
  destroy(): unknown
  /** Missing on a cluster and a sentinel. */
  unref?(): unknown
  duplicate(): RedisClientLike
  on(event: string, listener: (...details: unknown[]) => void): unknown
  off(event: string, listener: (...details: unknown[]) => void): unknown
  getMaxListeners?(): number
  setMaxListeners?(limit: number): unknown
  withCommandOptions(options: { readonly typeMapping: Readonly<Record<number, unknown>> }): unknown
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
}

/** Options of node-redis for one server, a cluster, or servers that sentinels watch. */
export type RedisOptions = { readonly [option: string]: unknown } & (
  | { readonly sentinelRootNodes: readonly object[] }
  | { readonly rootNodes: readonly object[] }
  // The last, because the compiler names it when none fits.
  | { readonly url: string }
)

/** The commands of a client that answers with Buffers. */
export interface RedisCommands {
  eval(script: string, options: ScriptArguments): Promise<unknown>
  evalSha(sha: string, options: ScriptArguments): Promise<unknown>
  mGet(keys: string[]): Promise<readonly (Buffer | null)[]>
  del(key: string): Promise<unknown>
}

interface ScriptArguments {
  readonly keys: string[]
  readonly arguments: (string | Buffer)[]
}

/** RESP's type byte of a bulk string. With this mapping node-redis returns such strings as Buffers. */
const bulkString = 36
const typeMapping = { [bulkString]: Buffer }

/** The client's commands, which then return Buffers, because values are bytes. */
export function bufferCommands(client: RedisClientLike): RedisCommands {
  return client.withCommandOptions({ typeMapping }) as RedisCommands
}

/**
 * The number of the database that the client uses. Redis delivers messages across databases, so each database has its own
 * channel.
 */
export async function databaseOf(client: RedisClientLike, isGiven: boolean): Promise<number> {
  const { options, clientInfo } = client as {
    readonly options?: { readonly database?: number; readonly nodeClientOptions?: { readonly database?: number } }
    readonly clientInfo?: () => Promise<{ readonly db: number }>
  }
  const configured = options?.database ?? options?.nodeClientOptions?.database ?? 0
  // The user of a given client may have selected another database.
  if (!isGiven || clientInfo === undefined) return configured
  return clientInfo.call(client).then(
    ({ db }) => db,
    () => configured,
  )
}

/**
 * Whether one server answers all commands. Clients of a cluster or of sentinels may send commands that only read to
 * replicas, and a client with client-side caching answers them itself.
 */
export function isSingleServer(client: RedisClientLike): boolean {
  const { options } = client as { readonly options?: { readonly clientSideCache?: unknown } }
  return !('slots' in client || 'getSentinelNode' in client || options?.clientSideCache !== undefined)
}

export function isRedisClient(value: unknown): value is RedisClientLike {
  if (typeof value !== 'object' || value === null) return false
  return ['connect', 'duplicate', 'withCommandOptions', 'evalSha'].every((method) => {
    return typeof (value as Record<string, unknown>)[method] === 'function'
  })
}

/** The user's client, or a function that makes one. */
export interface RedisSource {
  /** The user's client, which is never closed. */
  readonly given?: RedisClientLike | undefined
  open(): Promise<RedisClientLike>
}

/** @throws TypeError when it is no URL, no options and no node-redis client */
export function redisSource(redis: unknown): RedisSource {
  if (isRedisClient(redis)) return { given: redis, open: async () => redis }
  if (typeof redis === 'string') {
    if (!isRedisUrl(redis)) throw new TypeError(`Expected \`redis\` to be ${redisUrlForm}`)
    return { open: () => createClient({ url: redis }) }
  }
  if (typeof redis === 'object' && redis !== null && isConnectable(redis)) {
    expectUrl((redis as { readonly url?: unknown }).url)
    return { open: () => createClient(redis) }
  }
  const hint = isIoredis(redis) ? '; ioredis clients are not supported, give their URL instead' : ''
  throw new TypeError(
    `Expected \`redis\` to be a URL, options, or a client of node-redis 5 or later, got ${describeValue(redis)}${hint}`,
  )
}

function isConnectable(options: object): boolean {
  return ['url', 'rootNodes', 'sentinelRootNodes'].some((option) => {
    return (options as Record<string, unknown>)[option] !== undefined
  })
}

/** The client itself would find this out when it is made, too late to tell the caller. */
function expectUrl(url: unknown): void {
  if (url === undefined || (typeof url === 'string' && isRedisUrl(url))) return
  throw new TypeError(`Expected \`redis.url\` to be ${redisUrlForm}`)
}

function isIoredis(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'defineCommand' in value
}

/** Makes a client through `@keyv/redis`, which supports single servers, clusters and sentinels. It is not connected yet. */
async function createClient(options: object): Promise<RedisClientLike> {
  const install = 'npm i keyv@5 @keyv/redis@5'
  const { default: KeyvRedis } = await loadPeer<KeyvRedisModule>('@keyv/redis', '`redis`', install)
  // Commands must fail at once while there is no connection, and reconnecting must not wait long.
  const socket = { connectTimeout: 2_000, reconnectStrategy: (tries: number) => Math.min(50 * 2 ** tries, 1_000) }
  const given = options as { readonly socket?: object; readonly commandOptions?: object }
  return new KeyvRedis({
    ...withDefaults({ disableOfflineQueue: true }, options),
    socket: withDefaults(socket, given.socket),
    // A sentinel ignores `withCommandOptions`.
    commandOptions: { ...given.commandOptions, typeMapping },
  }).client
}

interface KeyvRedisModule {
  readonly default: new (options: object) => { readonly client: RedisClientLike }
}

/** The given options, and a default for each that is absent or `undefined`. */
function withDefaults(defaults: Readonly<Record<string, unknown>>, given: object = {}): Record<string, unknown> {
  const options: Record<string, unknown> = { ...given }
  for (const [name, value] of Object.entries(defaults)) options[name] ??= value
  return options
}
