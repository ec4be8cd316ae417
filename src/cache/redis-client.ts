import { describeValue } from '../shared/assertions.ts'
import { loadPeer } from '../shared/errors.ts'

/** What of a node-redis client, cluster or sentinel (5 or later) is used; described here so that no type needs the package. */
export interface RedisClientLike {
  readonly isOpen: boolean
  /** A cluster has none. */
  readonly isReady?: boolean
  connect(): Promise<unknown>
  close(): Promise<unknown>
  destroy(): unknown
  /** A cluster has none. */
  unref?(): unknown
  duplicate(): RedisClientLike
  on(event: string, listener: (...details: unknown[]) => void): unknown
  off(event: string, listener: (...details: unknown[]) => void): unknown
  withCommandOptions(options: { readonly typeMapping: Readonly<Record<number, unknown>> }): unknown
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
}

/** Options of node-redis for one server, a cluster, or servers that sentinels watch. */
export type RedisOptions = { readonly [option: string]: unknown } & (
  | { readonly url: string }
  | { readonly rootNodes: readonly object[] }
  | { readonly sentinelRootNodes: readonly object[] }
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

/** RESP's mark of a bulk string; node-redis turns into Buffers what is mapped so. */
const bulkString = 36
const typeMapping = { [bulkString]: Buffer }

/** The client's commands, answering with Buffers: values are bytes. */
export function bufferCommands(client: RedisClientLike): RedisCommands {
  return client.withCommandOptions({ typeMapping }) as RedisCommands
}

/** Whether all commands go to one server: a cluster and a sentinel may let replicas answer those that only read. */
export function isSingleServer(client: RedisClientLike): boolean {
  return !('slots' in client || 'getSentinelNode' in client)
}

export function isRedisClient(value: unknown): value is RedisClientLike {
  if (typeof value !== 'object' || value === null) return false
  return ['connect', 'duplicate', 'withCommandOptions', 'evalSha'].every((method) => {
    return typeof (value as Record<string, unknown>)[method] === 'function'
  })
}

/** A client that somebody may have given, or else the way to make one. */
export interface RedisSource {
  /** Set when the client is the user's own, which is never closed. */
  readonly given?: RedisClientLike | undefined
  open(): Promise<RedisClientLike>
}

/**
 * Where the client comes from.
 *
 * @throws TypeError when it is no URL, no options and no node-redis client
 */
export function redisSource(redis: unknown): RedisSource {
  if (isRedisClient(redis)) return { given: redis, open: async () => redis }
  if (typeof redis === 'string') {
    if (!URL.canParse(redis) || !/^rediss?:$/.test(new URL(redis).protocol)) {
      // The value stays out of the message: it may hold a password.
      throw new TypeError('Expected `redis` to be a URL that starts with redis:// or rediss://')
    }
    return { open: () => createClient({ url: redis }) }
  }
  if (typeof redis === 'object' && redis !== null && isConnectable(redis)) return { open: () => createClient(redis) }
  const hint = isIoredis(redis) ? '; ioredis clients are not supported, give their URL instead' : ''
  throw new TypeError(
    `Expected \`redis\` to be a URL, options, or a client of node-redis 5, got ${describeValue(redis)}${hint}`,
  )
}

function isConnectable(options: object): boolean {
  return ['url', 'rootNodes', 'sentinelRootNodes'].some((option) => option in options)
}

function isIoredis(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'defineCommand' in value
}

/** A client made through `@keyv/redis`, which knows single servers, clusters and sentinels. It is not connected yet. */
async function createClient(options: object): Promise<RedisClientLike> {
  const install = 'npm i keyv@5 @keyv/redis@5'
  const { default: KeyvRedis } = await loadPeer(() => import('@keyv/redis'), '`redis`', install)
  // Commands must fail at once while there is no connection, and the way back must stay short.
  const socket = { connectTimeout: 2_000, reconnectStrategy: (tries: number) => Math.min(50 * 2 ** tries, 1_000) }
  const given = options as { readonly socket?: object; readonly commandOptions?: object }
  return new KeyvRedis({
    disableOfflineQueue: true,
    ...options,
    socket: { ...socket, ...given.socket },
    // A sentinel heeds no others.
    commandOptions: { ...given.commandOptions, typeMapping },
  }).client as unknown as RedisClientLike
}
