import type { RedisClientLike } from './redis-client.ts'

/** How long a server that has accepted a connection may take before it answers. */
const greetingMs = 2_000

/** Hears about a connection until it is dropped. */
export interface ConnectionListener {
  ready?(): void
  /** Nothing can be sent now; the client tries to connect again by itself. */
  lost?(error: unknown): void
}

/** A client of node-redis, and whether it is worth waiting for. */
export class RedisConnection {
  readonly client: RedisClientLike
  /** Whether the client is the user's, which is never closed. */
  readonly #isGiven: boolean
  readonly #listeners: readonly (readonly [event: string, listener: (...details: unknown[]) => void])[]
  /** When the server accepted the connection, by the monotonic clock. */
  #acceptedAt: number | undefined

  constructor(client: RedisClientLike, isGiven: boolean, { ready, lost }: ConnectionListener) {
    this.client = client
    this.#isGiven = isGiven
    this.#listeners = [
      ['connect', () => this.#setAccepted(performance.now())],
      ['reconnecting', () => this.#setAccepted(undefined)],
      ['ready', () => ready?.()],
      ['error', (error) => lost?.(error)],
      ['end', (error) => lost?.(error)],
    ]
    for (const [event, listener] of this.#listeners) client.on(event, listener)
  }

  async open(): Promise<void> {
    if (!this.client.isOpen) await this.client.connect()
  }

  /** Whether a command would be sent now rather than refused. */
  get isReady(): boolean {
    // A cluster cannot tell.
    return this.client.isReady ?? this.client.isOpen
  }

  /**
   * Given that an answer is missing: whether none is to be expected over this connection any more. Not while one is being
   * made: the client gives that up by itself.
   */
  get isSilent(): boolean {
    return !this.#isGiven && this.#acceptedAt !== undefined && performance.now() - this.#acceptedAt > greetingMs
  }

  drop(): void {
    for (const [event, listener] of this.#listeners) this.client.off(event, listener)
    if (this.#isGiven) return
    // Without a listener a late error would end the process; and what is being connected now must not keep it alive.
    this.client.on('error', () => {})
    this.client.on('connect', () => this.client.unref?.())
    if (this.client.isOpen) Promise.resolve(this.client.destroy()).catch(() => {})
  }

  #setAccepted(at: number | undefined): void {
    this.#acceptedAt = at
  }
}
