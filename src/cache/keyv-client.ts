/** What of a Keyv instance or adapter (5.6 or later, 6) is used; described here so that no type needs the package. */
export interface KeyvLike {
  get(key: string): unknown
  set(key: string, value: never, ttlOrExpires?: number): unknown
  delete(key: string): unknown
}

/** A record that the store holds but cannot read. */
export const unreadable: unique symbol = Symbol('unreadable')

export function isKeyvLike(value: unknown): value is KeyvLike {
  if (typeof value !== 'object' || value === null) return false
  return ['get', 'set', 'delete'].every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
}

interface Methods {
  get(key: string): unknown
  getMany?(keys: string[]): unknown
  set(key: string, value: string, ttlOrExpires: number): unknown
  delete(key: string): unknown
  on?(event: 'error', listener: (error: unknown) => void): unknown
  off?(event: 'error', listener: (error: unknown) => void): unknown
  readonly capabilities?: { readonly expires?: unknown }
}

/**
 * A Keyv instance or adapter of either major with one way to be called, whose failures are rejections: Keyv itself tells of
 * most only by an event, and goes on as if the record were not there.
 */
export class KeyvClient {
  readonly #keyv: Methods
  /** Adapters of major 6 take the time of expiry, those of 5 and instances of both the time to live. */
  readonly #takesExpiry: boolean
  #failure: { readonly error: unknown } | undefined
  readonly #onError = (error: unknown) => {
    this.#failure = { error }
  }

  constructor(keyv: KeyvLike) {
    this.#keyv = keyv as unknown as Methods
    this.#takesExpiry = this.#keyv.capabilities?.expires === true
    this.#keyv.on?.('error', this.#onError)
  }

  /** Texts, `undefined` where there is none. */
  async getMany(keys: readonly string[]): Promise<(string | undefined | typeof unreadable)[]> {
    if (keys.length === 0) return []
    try {
      const records = await this.#watch(() => this.#keyv.getMany?.([...keys]) ?? this.#getEach(keys))
      return (records as unknown[]).map(toText)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      // Major 5 rejects all of a read when one record is not what it wrote.
      return Promise.all(keys.map((key) => this.#getReadable(key)))
    }
  }

  async set(key: string, text: string, ms: number): Promise<void> {
    const isSet = await this.#watch(() => this.#keyv.set(key, text, this.#takesExpiry ? Date.now() + ms : ms))
    if (isSet === false) throw new Error('the store did not take a record')
  }

  async delete(key: string): Promise<void> {
    await this.#watch(() => this.#keyv.delete(key))
  }

  close(): void {
    this.#keyv.off?.('error', this.#onError)
  }

  #getEach(keys: readonly string[]): Promise<unknown[]> {
    return Promise.all(keys.map((key) => this.#keyv.get(key)))
  }

  async #getReadable(key: string): Promise<string | undefined | typeof unreadable> {
    try {
      return toText(await this.#watch(() => this.#keyv.get(key)))
    } catch (error) {
      if (error instanceof SyntaxError) return unreadable
      throw error
    }
  }

  /** What the work returns, unless an error was reported while it ran. */
  async #watch(work: () => unknown): Promise<unknown> {
    this.#failure = undefined
    const result = await work()
    const failure = this.#failure as { readonly error: unknown } | undefined
    if (failure !== undefined) throw failure.error
    return result
  }
}

function toText(record: unknown): string | undefined | typeof unreadable {
  if (record === undefined || record === null) return undefined
  if (typeof record === 'string') return record
  return Buffer.isBuffer(record) ? record.toString() : unreadable
}
