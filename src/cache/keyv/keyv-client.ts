/**
 * The methods of a Keyv instance or adapter (5.6 or later, 6) that the cache calls. Declared without a type of the package.
 */
export interface KeyvLike {
  get(key: string): unknown
  set(key: string, value: never, ttlOrExpires?: number): unknown
  delete(key: string): unknown
}

/** Stands for a record that the store holds but cannot read. */
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
 * Calls Keyv instances and adapters of both majors in one way. Their failures become rejections: Keyv itself reports most of
 * them only by an event, and goes on as if the record were missing.
 */
export class KeyvClient {
  readonly #keyv: Methods
  /** Adapters of major 6 take the time of expiry. Adapters of major 5 and instances of both take the time to live. */
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

  /** The text of each key, `undefined` for a missing record. */
  async getMany(keys: readonly string[]): Promise<(string | undefined | typeof unreadable)[]> {
    if (keys.length === 0) return []
    try {
      const records = await this.#watch(() => this.#keyv.getMany?.([...keys]) ?? this.#getEach(keys))
      return (records as unknown[]).map(toText)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      // Major 5 rejects the whole read when one record is not JSON: read them one by one.
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

  /** @throws the error that Keyv reported by an event while the work ran */
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
