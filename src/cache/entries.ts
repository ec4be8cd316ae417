import type { CoarseTime } from './coarse-time.ts'
import { compress, decompress } from './compression.ts'
import type { MissReason, StoreCounters } from './counters.ts'
import { type Inspection, inspectValue } from './inspect-value.ts'
import type { Tick } from './invalidations.ts'
import { MemoryEntry } from './memory-tier.ts'
import type { CacheSettings } from './options.ts'
import type { Profile } from './profile.ts'
import { isValid } from './standard-schema.ts'
import type { EntryHeader, Found, StoredEntry } from './store.ts'
import { decodeValue, encodeValue, type ValueFormat } from './value-codec.ts'

/** What is known of a new value. */
export interface NewEntry {
  readonly profile: Profile
  readonly ttlMs: number
  readonly staleMs: number
  readonly tags: readonly string[]
  readonly costMs: number
  /** What this process had learned, and when, as the read or the load began. */
  readonly begun: Tick
  readonly begunAt: number
}

/** How many times its load's cost before its end an entry may be renewed: beyond 10, the chance is 1 in 22,000. */
const earlyFactor = 10

const unmeasured = { bytes: 0 }

/** Turns values into entries of both tiers, and back. */
export class Entries {
  readonly #settings: CacheSettings
  readonly #hasStore: boolean
  readonly #time: CoarseTime
  readonly #counters: StoreCounters

  constructor(settings: CacheSettings, hasStore: boolean, time: CoarseTime, counters: StoreCounters) {
    this.#settings = settings
    this.#hasStore = hasStore
    this.#time = time
    this.#counters = counters
  }

  /** @throws UnstorableValueError when the value is no data */
  inspect(value: unknown): Inspection {
    return inspectValue(value, this.#settings.freeze)
  }

  /** An entry for this process. */
  toMemory(value: unknown, { bytes }: Pick<Inspection, 'bytes'>, about: NewEntry, ageMs = 0): MemoryEntry {
    const { profile, ttlMs, staleMs, begunAt, costMs } = about
    const loadedAt = this.#time.exact() - ageMs
    const lifeMs = profile.memoryTtlMs + ageMs
    const freshUntil = loadedAt + Math.min(ttlMs, lifeMs)
    const plainUntil = freshUntil - (profile.refreshAhead ? costMs * earlyFactor : 0)
    const trustedUntil = this.#hasStore ? begunAt + this.#settings.withinMs : Number.POSITIVE_INFINITY
    return new MemoryEntry(
      value,
      { profile, tags: about.tags, begun: about.begun, loadedAt, costMs, bytes },
      {
        plainUntil,
        freshUntil,
        staleUntil: loadedAt + Math.min(ttlMs + staleMs, lifeMs),
        trustedUntil,
        sureUntil: this.#time.toSinceStart(Math.min(plainUntil, trustedUntil)),
      },
    )
  }

  /** An entry for the store. */
  async toStore(value: unknown, inspection: Inspection, about: NewEntry): Promise<StoredEntry> {
    const { profile, ttlMs, staleMs, costMs, tags } = about
    const encoded = encodeValue(value, inspection)
    const packed = await compress(encoded.bytes, profile.compress && this.#settings.compression)
    this.#counters.rawBytes += encoded.bytes.length
    this.#counters.storedBytes += packed.bytes.length
    const header = {
      ttlMs,
      staleMs,
      costMs: Math.round(costMs),
      profile: profile.name,
      version: profile.version,
      format: encoded.format,
      codec: packed.codec,
      rawBytes: encoded.bytes.length,
      tags,
    }
    return { header, payload: packed.bytes }
  }

  /**
   * An entry for this process from one of the store's.
   *
   * @returns the reason when the entry is of another version, or not what the profile expects; a promise only where it must be
   * one, since most answers of the store need none
   * @throws when the entry cannot be read
   */
  fromStore(
    found: Found,
    begun: Tick,
    begunAt: number,
    expected?: Profile,
  ): MemoryEntry | MissReason | Promise<MemoryEntry | MissReason> {
    const { header, payload } = found.entry as StoredEntry
    const { profiles } = this.#settings
    const profile = expected ?? profiles.get(header.profile) ?? (profiles.get('default') as Profile)
    if (profile.version !== header.version && (expected !== undefined || profiles.has(header.profile))) return 'version'
    const { ttlMs, staleMs, costMs, tags } = header
    const about = { profile, ttlMs, staleMs, costMs, tags, begun, begunAt }
    if (header.codec === 'none' && profile.validate === undefined)
      return this.#revive(payload, header, about, found.ageMs)
    return this.#unpack(payload, header, about, found.ageMs)
  }

  async #unpack(
    payload: Buffer,
    header: EntryHeader,
    about: NewEntry,
    ageMs: number | undefined,
  ): Promise<MemoryEntry | MissReason> {
    const raw = header.codec === 'none' ? payload : await decompress(payload, header.codec, header.rawBytes)
    const entry = this.#revive(raw, header, about, ageMs)
    const { validate } = about.profile
    return validate === undefined || (await isValid(entry.value, validate)) ? entry : 'corrupt'
  }

  #revive(raw: Buffer, { format }: EntryHeader, about: NewEntry, ageMs: number | undefined): MemoryEntry {
    const value = decodeValue(format as ValueFormat, raw)
    // Without memory nobody asks how large it is, and nobody gets it a second time.
    const size = this.#settings.memory === false ? unmeasured : this.inspect(value)
    return this.toMemory(value, size, about, ageMs)
  }
}
