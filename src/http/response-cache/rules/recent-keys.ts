import type { Key } from '../../../cache/key.ts'
import { nodeCrypto } from '../../../shared/platform/builtins.ts'
import type { Clock } from '../../../shared/time/clock.ts'

/** For how long, after an answer that was not stored, requests for its key do not wait for each other. */
const usualMs = 10_000
const maxKeys = 1_000
/** Clients choose how long a key is: a longer one is hashed. */
const maxLength = 1_000

/** Remembers something about keys for some time. Clients choose the keys, so it is bounded. */
export interface RecentKeys {
  /** What is known of the key; `undefined` when nothing is, or was added long ago. */
  find(key: Key): string | undefined
  add(key: Key, what: string): void
  /** @returns whether something was known */
  delete(key: Key): boolean
}

export function createRecentKeys(clock: Clock, rememberMs: number = usualMs): RecentKeys {
  const known = new Map<string, { readonly what: string; readonly until: number }>()
  return {
    find(key) {
      if (known.size === 0) return undefined
      const text = textOf(key)
      const found = known.get(text)
      if (found === undefined) return undefined
      const leftMs = found.until - clock()
      if (leftMs > 0 && leftMs <= rememberMs) return found.what
      known.delete(text)
      return undefined
    },
    add(key, what) {
      const text = textOf(key)
      known.delete(text)
      if (known.size === maxKeys) known.delete(known.keys().next().value as string)
      known.set(text, { what, until: clock() + rememberMs })
    },
    delete(key) {
      return known.delete(textOf(key))
    },
  }
}

/** Two keys may have the same text: then a request is answered by its handler without need. */
function textOf(key: Key): string {
  const text =
    typeof key === 'string'
      ? key
      : JSON.stringify(key, (_name, value) => (typeof value === 'bigint' ? String(value) : value))
  return text.length <= maxLength ? text : nodeCrypto().hash('sha256', text, 'base64url')
}
