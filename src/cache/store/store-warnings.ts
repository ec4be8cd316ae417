import type { OnWarn } from '../../shared/warnings.ts'
import type { CacheSettings } from '../options.ts'
import { refusalOf } from './store-errors.ts'

/** Warnings for the operator of the store. Each is given once. */
export class StoreWarnings {
  readonly #warn: OnWarn
  readonly #name: string
  readonly #namespace: string

  constructor({ warn, name, namespace }: CacheSettings) {
    this.#warn = warn
    this.#name = name
    this.#namespace = namespace
  }

  /**
   * Warns once for each code of {@link refusalOf}; ignores other errors.
   *
   * @param rights - the rights that the store needs
   */
  refused(error: unknown, rights = ''): void {
    const refusal = refusalOf(error)
    if (refusal === undefined) return
    const needed = refusal === 'NOPERM' && rights !== '' ? `. The cache needs these rights: ${rights}` : ''
    this.#warn({
      code: `CACHE_REDIS_${refusal}`,
      message: `Redis refuses the cache: ${(error as Error).message}${needed}`,
    })
  }

  channelRefused(error: unknown, missingRight: string): void {
    const message =
      'Redis refuses messages of the cache, so processes learn of an invalidation by another only within ' +
      `\`coherence.within\`: ${(error as Error).message}. The missing right is: ${missingRight}`
    this.#warn({ code: 'CACHE_REDIS_CHANNEL', message })
  }

  sharedWith(name: string): void {
    const message =
      `The cache '${this.#name}' shares the namespace '${this.#namespace}' with the cache '${name}': each reads and clears the ` +
      'entries of the other. Give each application its own `namespace`'
    this.#warn({ code: 'CACHE_NAMESPACE_SHARED', message })
  }
}
