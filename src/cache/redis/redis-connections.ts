import { refusalOf } from '../store/store-errors.ts'
import {
  bufferCommands,
  databaseOf,
  isSingleServer,
  type RedisClientLike,
  type RedisCommands,
  type RedisSource,
} from './redis-client.ts'
import type { RedisScript } from './redis-scripts.ts'

/** The two connections of a cache: one for commands, and one for messages. */
export class RedisConnections {
  /** Whether every command goes to one server. Otherwise the client may send commands that only read to replicas. */
  isSingleServer = false
  isClosed = false
  /** The channel for messages, known once there is a connection. */
  channel: string
  readonly #source: RedisSource
  readonly #channelBase: string
  readonly #onMessage: (message: string) => void
  #client: RedisClientLike | undefined
  #commands: RedisCommands | undefined
  #connection: RedisConnection | undefined
  #subscription: RedisConnection | undefined
  #isListening = false
  /** Whether this user of Redis lacks the right to the channel. */
  #isRefused = false
  readonly #slot: number
  /** The node of a cluster that was asked last, or the primary that a sentinel has named. */
  #node: string | undefined
  #listener: ConnectionListener = {}

  /**
   * All keys of the namespace share one slot. The channel of database 0 is named after the namespace; channels of other
   * databases add their number.
   */
  constructor(source: RedisSource, namespace: string, onMessage: (message: string) => void) {
    this.#source = source
    this.#slot = slotOf(namespace)
    const channel = `{${namespace}}:bus`
    this.#channelBase = channel
    this.channel = channel
    this.#onMessage = onMessage
  }

  get isListening(): boolean {
    return this.#isListening && this.#subscription?.isReady === true
  }

  /** Makes the client, without connecting it. */
  async prepare(): Promise<void> {
    this.#client = await this.#source.open()
  }

  async connect(
    listener: ConnectionListener & { subscriptionFailed(error: unknown, refusedRight?: string): void },
  ): Promise<void> {
    const client = this.#client as RedisClientLike
    this.#listener = listener
    this.#connection = new RedisConnection(client, this.#source.given !== undefined, {
      ready: () => listener.ready?.(),
      lost: (error) => listener.lost?.(error),
      moved: (node) => void this.#moveTo(node),
    })
    this.#commands = bufferCommands(client)
    this.isSingleServer = isSingleServer(client)
    await this.#connection.open()
    const database = await databaseOf(client, this.#source.given !== undefined)
    this.channel = database === 0 ? this.#channelBase : `${this.#channelBase}:${database}`
    // Without messages memory is still coherent, through the clock that each answer carries.
    await this.#subscribe().catch((error: unknown) => {
      this.#isRefused = refusalOf(error) === 'NOPERM'
      listener.subscriptionFailed(error, this.#isRefused ? `+subscribe &${this.channel}` : undefined)
    })
  }

  /**
   * Connects a client again that has given up. Subscribes again if the connection was lost before the subscription was made.
   */
  async reopen(): Promise<void> {
    if (this.isClosed) return
    if (!this.#isListening) this.resubscribeIfSilent()
    await this.#connection?.open()
  }

  /** Drops the connection for commands if it seems dead, and returns whether it did. */
  dropIfSilent(): boolean {
    if (this.#connection?.isSilent !== true) return false
    this.#connection.drop()
    this.#connection = undefined
    return true
  }

  /** @throws Error while there is no connection */
  get commands(): RedisCommands {
    if (this.#commands === undefined || this.#connection?.isReady !== true) throw new Error('Redis is not connected')
    this.#expectSameNode()
    return this.#commands
  }

  /**
   * Sends a command.
   *
   * @throws MovedError when the client had to send the command to another node of a cluster
   */
  async send<Reply>(command: (commands: RedisCommands) => Promise<Reply>): Promise<Reply> {
    const { commands } = this
    const node = this.#node
    const reply = await command(commands)
    this.#expectSameNode()
    if (node !== undefined && node !== this.#node) throw new MovedError()
    return reply
  }

  async run<Reply>(script: RedisScript, keys: string[], options: (string | Buffer)[]): Promise<Reply> {
    const scriptArguments = { keys, arguments: options }
    try {
      return (await this.send((commands) => commands.evalSha(script.sha, scriptArguments))) as Reply
    } catch (error) {
      if (!/^NOSCRIPT/.test((error as Error).message)) throw error
      return (await this.send((commands) => commands.eval(script.text, scriptArguments))) as Reply
    }
  }

  resubscribeIfSilent(): void {
    if (this.#subscription?.isSilent === true && !this.#isRefused) this.#subscribe().catch(() => {})
  }

  close(): void {
    this.isClosed = true
    this.#connection?.drop()
    this.#subscription?.drop()
  }

  /** @throws MovedError when the client has found the namespace on another node */
  #expectSameNode(): void {
    const node = nodeOf(this.#client as RedisClientLike, this.#slot)
    if (node !== undefined && this.#moveTo(node)) throw new MovedError()
  }

  /**
   * Stores the node, and returns whether the node before was another. The new one may lack the latest changes, as after a
   * lost connection.
   */
  #moveTo(node: string): boolean {
    const before = this.#node
    this.#node = node
    if (before === undefined || before === node) return false
    this.#listener.lost?.(new MovedError())
    setImmediate(() => this.#listener.ready?.())
    return true
  }

  /** Messages need a connection of their own. The user's client is never used for them. */
  async #subscribe(): Promise<void> {
    this.#isListening = false
    this.#subscription?.drop()
    const client = this.#source.given?.duplicate() ?? (await this.#source.open())
    if (this.isClosed) return
    this.#subscription = new RedisConnection(client, false, {})
    await this.#subscription.open()
    await client.subscribe(this.channel, this.#onMessage)
    this.#isListening = true
  }
}

/**
 * The node of a cluster that holds a slot, as far as the client knows; `undefined` for other clients. No event tells when
 * the client follows a slot to another node.
 */
function nodeOf(client: RedisClientLike, slot: number): string | undefined {
  const { slots } = client as {
    readonly slots?: readonly ({ readonly master: { readonly address: string } } | undefined)[]
  }
  return slots?.[slot]?.master.address
}

/** The slot of keys with this hash tag: its CRC-16 (XMODEM), as the specification of Redis Cluster has it. */
function slotOf(hashTag: string): number {
  let crc = 0
  for (const byte of Buffer.from(hashTag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
    crc &= 0xffff
  }
  return crc % 16_384
}

/** Another node of the cluster holds the namespace now, or another server is the primary. */
class MovedError extends Error {
  constructor() {
    super('the namespace has moved to another node')
  }
}

/** How long a server that has accepted a connection may take before it answers. */
const greetingMs = 2_000

/** Is told about a connection until it is dropped. */
interface ConnectionListener {
  ready?(): void
  /** Nothing can be sent now; the client tries to connect again by itself. */
  lost?(error: unknown): void
  /** A sentinel has named a primary, to which the client goes by itself. */
  moved?(node: string): void
}

class RedisConnection {
  readonly client: RedisClientLike
  /** Whether the client is the user's. It is never closed then. */
  readonly #isGiven: boolean
  readonly #listeners: readonly (readonly [event: string, listener: (...details: unknown[]) => void])[]
  /** When the server accepted the connection, in `performance.now()` time. */
  #acceptedAt: number | undefined
  #isDropped = false
  /** Whether the client waits for a server to accept a connection. */
  #isConnecting = false
  /** Whether the client was closed. It is then not opened again, because nobody would close it a second time. */
  #isEnded = false

  constructor(client: RedisClientLike, isGiven: boolean, { ready, lost, moved }: ConnectionListener) {
    this.client = client
    this.#isGiven = isGiven
    const end = (error: unknown) => {
      this.#isEnded = true
      lost?.(error)
    }
    this.#listeners = [
      ['connect', () => this.#start()],
      ['reconnecting', () => this.#connect()],
      ['ready', () => ready?.()],
      ['error', (error) => this.#lose(lost, error)],
      ['end', end],
      // A cluster emits this one.
      ['disconnect', end],
      ['topology-change', (event) => tellPrimary(event as TopologyChange, moved)],
    ]
    if (isGiven) moveListenerLimit(client, 1)
    for (const [event, listener] of this.#listeners) client.on(event, listener)
  }

  async open(): Promise<void> {
    if (!this.#isDropped && !this.#isEnded && !this.client.isOpen) {
      this.#connect()
      await this.client.connect()
    }
    if (this.#isDropped) throw new Error('the connection to Redis was closed')
  }

  /** Whether a command would be sent now rather than refused. */
  get isReady(): boolean {
    // A cluster has no `isReady`.
    return this.client.isReady ?? this.client.isOpen
  }

  /**
   * Whether this connection seems dead, asked when an answer is missing. A connection that is being made does not count as
   * dead: the client itself gives up on it.
   */
  get isSilent(): boolean {
    return !this.#isGiven && this.#acceptedAt !== undefined && performance.now() - this.#acceptedAt > greetingMs
  }

  drop(): void {
    this.#isDropped = true
    for (const [event, listener] of this.#listeners) this.client.off(event, listener)
    if (this.#isGiven) {
      moveListenerLimit(this.client, -1)
      return
    }
    const destroy = () => {
      if (this.client.isOpen) Promise.resolve(this.client.destroy()).catch(() => {})
    }
    const waits = this.#isConnecting && this.client.unref !== undefined
    // Without a listener a late error would end the process.
    this.client.on('error', waits ? destroy : () => {})
    // A connection that is being made would stay open for good if the client were destroyed before it is there.
    if (waits) this.client.on('connect', () => setImmediate(destroy))
    else destroy()
  }

  #connect(): void {
    this.#isConnecting = true
    this.#acceptedAt = undefined
  }

  #start(): void {
    this.#isConnecting = false
    this.#isEnded = false
    this.#acceptedAt = performance.now()
  }

  #lose(lost: ConnectionListener['lost'], error: unknown): void {
    this.#isConnecting = false
    lost?.(error)
  }
}

/** An event of node-redis' sentinel. */
interface TopologyChange {
  readonly type: string
  readonly node: { readonly host: string; readonly port: number }
}

function tellPrimary({ type, node }: TopologyChange, moved: ConnectionListener['moved']): void {
  if (type === 'MASTER_CHANGE') moved?.(`${node.host}:${node.port}`)
}

/** Each cache that shares the client adds listeners. Node would take them for a leak and warn. */
function moveListenerLimit(client: RedisClientLike, by: number): void {
  const limit = client.getMaxListeners?.() ?? 0
  // 0 is no limit.
  if (limit > 0) client.setMaxListeners?.(limit + by)
}
