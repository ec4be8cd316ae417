import type { ClockReading } from './coherence.ts'
import { parseTagRecord } from './entry-format.ts'
import type { RecordKeys } from './record-keys.ts'
import type { RedisConnections } from './redis-connections.ts'
import { script } from './redis-scripts.ts'
import { prelude } from './script-functions.ts'

/**
 * How long a stamp is kept: as long as clients keep validators. Validators become invalid when the stamp's record is lost.
 */
const stampMs = 24 * 3_600_000

/**
 * Reads the stamps of tags. Tags without a stamp get the clock as it is.
 *
 * KEYS clock, records of the tags. ARGV seed, seen, ms of a tag. Returns the clock's record, and the stamp of each tag.
 */
const begin = script(`${prelude}
local seed, seen, tagMs = unpack(ARGV)
local found = getAll(KEYS)
local clock, generation, record = readClock(KEYS[1], found[1], seed, seen)
local results = { record }
for index = 2, #KEYS do
  local hard, latest = stampsOf(found[index])
  keepFor(KEYS[index], hard and found[index] or text(clock), tagMs)
  results[index] = text(latest or clock)
end
return results
`)

interface TagReading {
  readonly clock: ClockReading | undefined
  readonly stamps: readonly (number | undefined)[]
}

/** Reads the stamps of tags, for validators of what depends on them. */
export class RedisStamps {
  readonly #keys: RecordKeys
  readonly #connections: RedisConnections

  constructor(keys: RecordKeys, connections: RedisConnections) {
    this.#keys = keys
    this.#connections = connections
  }

  /**
   * The clock, if it is not lost, and the stamp of each tag.
   *
   * @param seed - the name of the generation that begins, if the clock is lost
   */
  async read(tags: readonly string[], begins: boolean, seed: string): Promise<TagReading> {
    // A plain read only if replicas never answer: their stamps may be outdated.
    const isPlain = !begins && this.#connections.isSingleServer
    const [record, ...stamps] = await (isPlain ? this.#readPlainly(tags) : this.#begin(tags, seed))
    const fields = /^(\d+)\|(\w+)$/.exec(record?.toString('latin1') ?? '')
    const clock = fields ? { stamp: Number(fields[1]), generation: fields[2] as string } : undefined
    return { clock, stamps: stamps.map(parseStamp) }
  }

  #readPlainly(tags: readonly string[]): Promise<readonly (Buffer | null)[]> {
    return this.#connections.commands.mGet(this.#keys.forRead([], tags))
  }

  #begin(tags: readonly string[], seed: string): Promise<(Buffer | null)[]> {
    return this.#connections.run<Buffer[]>(begin, this.#keys.forRead([], tags), [seed, '0', String(stampMs)])
  }
}

function parseStamp(record: Buffer | null): number | undefined {
  const { latest } = parseTagRecord(record ?? noBytes)
  return Number.isNaN(latest) ? undefined : latest
}

const noBytes = Buffer.alloc(0)
