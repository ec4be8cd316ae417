import { nodeCrypto } from '../../shared/platform/builtins.ts'
import type { CoarseTime } from '../../shared/time/clock.ts'
import type { Change } from '../memory/invalidation-log.ts'
import type { CacheSettings } from '../options.ts'
import {
  type EntryWrite,
  type HeldLease,
  type LeaseRenewal,
  leaseMs,
  type ReadMode,
  type ReadResult,
  type Store,
  type StoredEntry,
  type StoreListener,
  type WriteOutcome,
} from '../store/store.ts'
import { refusalOf } from '../store/store-errors.ts'
import type { TagStamps } from '../types.ts'
import { type ClockReading, ClockRegressedError, type Coherence } from './coherence.ts'
import { EntryParser, encodeEntry, judgeEntry, parseTagRecord, RecordKeys, toFreshResult } from './records.ts'
import type { RedisSource } from './redis-client.ts'
import { RedisConnections } from './redis-connections.ts'
import { type EntryState, entryStates, type RedisScript, scripts, tagMarginMs } from './redis-scripts.ts'

const writeOutcomes: readonly WriteOutcome[] = ['invalidated', 'stored', 'expired']
const noTags: readonly string[] = []

/** How long the name of an application stays after its last process has connected. */
const nameMs = 7 * 24 * 3_600_000

/** How long a stamp is kept: as long as clients keep validators, which become invalid when it is lost. */
const stampMs = 24 * 3_600_000

/** How long reads do without scripts after Redis has refused one. */
const refusalMs = 60_000

/** How long a measured difference between our clock and the server's is used: clocks drift, and may be set. */
const timeDifferenceMs = 60_000

interface RedisLease {
  readonly id: string
  /** The clock when the lease was granted. */
  readonly clock: ClockReading
}

/**
 * The store on Redis. Each operation is one script: one round trip, and one step that nothing interrupts. All keys of a
 * namespace share a hash tag, so that they are on one node of a cluster.
 */
export class RedisStore implements Store {
  readonly #keys: RecordKeys
  readonly #name: string
  readonly #connections: RedisConnections
  readonly #coherence: Coherence
  readonly #time: CoarseTime
  readonly #processId = nodeCrypto().randomBytes(9).toString('hex')
  readonly #parser = new EntryParser()
  #ids = 0
  /** The highest stamp that an answer has shown. */
  #known = 0
  /** The clock's record as it was last read. */
  #clock: { readonly text: string; readonly reading: ClockReading | undefined } = { text: '', reading: undefined }
  #listener: StoreListener | undefined
  #isPublishRefused = false
  #scriptsRefusedUntil = Number.NEGATIVE_INFINITY
  /** By how much the server's time is ahead of ours. */
  #serverTime = { aheadMs: 0, learnedAt: Number.NEGATIVE_INFINITY }

  constructor(source: RedisSource, { namespace, name }: CacheSettings, coherence: Coherence, time: CoarseTime) {
    this.#keys = new RecordKeys(namespace)
    this.#name = name
    this.#coherence = coherence
    this.#time = time
    this.#connections = new RedisConnections(source, namespace, (message) => coherence.receive(message))
    coherence.onMissing = () => this.#connections.resubscribeIfSilent()
  }

  /** Imports the client's package; called first. */
  async prepare(): Promise<void> {
    await this.#connections.prepare()
  }

  /** In the notation of `ACL SETUSER`. */
  get rights(): string {
    const commands = 'eval evalsha mget set del getrange pttl pexpire time publish subscribe'.split(' ')
    return `~${this.#keys.prefix}* &${this.#connections.channel} ${commands.map((name) => `+${name}`).join(' ')}`
  }

  async connect(listener: StoreListener): Promise<void> {
    if (this.#connections.isClosed) return
    this.#listener = listener
    await this.#connections.connect(listener)
    await this.ping()
    await this.#introduce(listener).catch(() => {})
  }

  /** Stores the application's name, because two applications in one namespace would read one another's entries. */
  async #introduce(listener: StoreListener): Promise<void> {
    const keys = [this.#keys.clock, `${this.#keys.prefix}name`]
    const name = String(await this.#connections.run<Buffer>(scripts.introduce, keys, [this.#name, String(nameMs)]))
    if (name !== this.#name) listener.sharedWith(name)
  }

  async reconnect(listener: StoreListener): Promise<void> {
    if (!this.#connections.dropIfSilent()) return
    await this.prepare()
    await this.connect(listener)
  }

  isListening(): boolean {
    return this.#connections.isListening
  }

  read(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<ReadResult[]> {
    this.#coherence.isUsed = true
    return this.#readWithinRights(keys, mode, tags)
  }

  #readWithinRights(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<ReadResult[]> {
    if (this.#time.exact() < this.#scriptsRefusedUntil) return this.#readPlainly(keys, tags)
    const result = mode === 'likely-hit' ? this.#readOptimistically(keys, tags) : this.#readByScript(keys, mode, tags)
    return result.catch((error: unknown) => {
      if (refusalOf(error) !== 'NOPERM') throw error
      this.#scriptsRefusedUntil = this.#time.exact() + refusalMs
      this.#listener?.refused(error)
      return this.#readPlainly(keys, tags)
    })
  }

  /** Reads without the right to run scripts: with one MGET, and a second one for tags that only the entries name. */
  async #readPlainly(keys: readonly string[], named: readonly string[]): Promise<ReadResult[]> {
    const sentAt = this.#time.exact()
    const known = this.#latestKnown
    const getAll = (names: string[]) => this.#connections.send((commands) => commands.mGet(names))
    const records = await getAll(this.#keys.forRead(keys, named))
    const clock = this.#parseClock(records[0])
    if (clock === undefined) return keys.map(() => ({ state: 'absent', isReadOnly: true }))
    this.#observe(clock, sentAt, known)
    const entries = keys.map((_key, index) => this.#parser.parse(records[1 + index]))
    const tags = [...new Set(entries.flatMap((entry) => entry?.header.tags ?? []))]
    const tagRecords = tags.length === 0 ? [] : await getAll(tags.map((tag) => this.#keys.tag(tag)))
    const nowMs = sentAt + this.#serverTime.aheadMs
    const recordsByTag = new Map(tags.map((tag, index) => [tag, tagRecords[index]]))
    return entries.map((entry) => judgeEntry(entry, { clock, nowMs, named, tagRecords: recordsByTag }))
  }

  async #readByScript(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<ReadResult[]> {
    const id = this.#newId()
    const sentAt = this.#time.exact()
    const known = this.#latestKnown
    const options = [mode, id, String(known), String(keys.length), JSON.stringify(tags)]
    const reply = await this.#connections.run<ReadReply>(scripts.read, this.#keys.forRead(keys, tags), options)
    const clock = this.#parseClock(reply[0]) as ClockReading
    this.#observe(clock, sentAt, known)
    // Computed as if the question had arrived at once: entries then look a little older than they are, never younger.
    this.#serverTime = { aheadMs: reply[1] / 1_000 - sentAt, learnedAt: sentAt }
    return keys.map((_key, index) => {
      const at = 2 + index * 4
      const lease: RedisLease | undefined = reply[at + 1] === 1 ? { id, clock } : undefined
      const [state, ageMs] = [entryStates[reply[at] as number] as EntryState, (reply[at + 2] as number) / 1_000]
      if (!(state === 'fresh' || state === 'stale' || state === 'softened')) return { state, ageMs, lease }
      const entry = this.#parser.parse(reply[at + 3] as Buffer)
      if (entry === undefined) return { state: 'corrupt', lease }
      const isInvalidated = state === 'softened'
      return { state: isInvalidated ? 'stale' : state, ageMs, isInvalidated, lease, entry }
    })
  }

  /**
   * Reads with one MGET, because running a script costs Redis more than all the rest of a hit. The answer counts only if every
   * entry is there, fresh, current, and has exactly the named tags; otherwise the script reads again.
   */
  async #readOptimistically(keys: readonly string[], tags: readonly string[]): Promise<ReadResult[]> {
    const sentAt = this.#time.exact()
    const known = this.#latestKnown
    const { aheadMs, learnedAt } = this.#serverTime
    const isTimeKnown = sentAt - learnedAt <= timeDifferenceMs
    if (!this.#connections.isSingleServer || !isTimeKnown) return this.#readByScript(keys, 'load', tags)
    // Not GET, which fails when the key holds another type of value.
    const records = await this.#connections.commands.mGet(this.#keys.forRead(keys, tags))
    const clock = this.#parseClock(records[0])
    if (clock === undefined) return this.#readByScript(keys, 'load', tags)
    this.#observe(clock, sentAt, known)
    const stamps = records.slice(1 + keys.length).map((record) => parseTagRecord(record).latest)
    const snapshot = { clock, tags, stamps, nowMs: sentAt + aheadMs }
    const results: ReadResult[] = []
    for (let index = 1; index <= keys.length; index++) {
      const result = toFreshResult(this.#parser.parse(records[index]), snapshot)
      if (result === undefined) return this.#readByScript(keys, 'load', tags)
      results.push(result)
    }
    return results
  }

  async write(writes: readonly EntryWrite[]): Promise<WriteOutcome[]> {
    const keys = [this.#keys.clock]
    const options: (string | Buffer)[] = []
    for (const { key, entry, lease, memoryStamp } of writes) {
      const { id, clock } = lease as RedisLease
      const { tags } = entry.header
      const asOf = Math.min(clock.stamp, memoryStamp)
      keys.push(this.#keys.entry(key), this.#keys.lease(key))
      options.push(id, String(asOf), clock.generation, ...encodeEntry(entry), String(tags.length))
      for (const tag of tags) options.push(tag)
    }
    const sentAt = this.#time.exact()
    const known = this.#latestKnown
    const reply = await this.#connections.run<[Buffer, Buffer, number[]]>(scripts.write, keys, options)
    const [stamp, generation, outcomes] = reply
    if (generation.length > 0) this.#observe({ stamp: Number(stamp), generation: String(generation) }, sentAt, known)
    return outcomes.map((outcome) => writeOutcomes[outcome] as WriteOutcome)
  }

  async set(key: string, entry: StoredEntry): Promise<void> {
    const keys = [this.#keys.clock, this.#keys.entry(key), this.#keys.lease(key)]
    const message = [this.#connections.channel, this.#encodeMessage({ keys: [key] })]
    await this.#runChange(scripts.set, keys, [...encodeEntry(entry), ...message, ...entry.header.tags])
  }

  async delete(keys: readonly string[]): Promise<void> {
    const records = keys.flatMap((key) => [this.#keys.entry(key), this.#keys.lease(key)])
    const options = [this.#connections.channel, this.#encodeMessage({ keys })]
    await this.#runChange(scripts.remove, [this.#keys.clock, ...records], options)
  }

  async invalidate(tags: readonly string[], isSoft: boolean): Promise<void> {
    const options = [String(tagMarginMs), this.#connections.channel, this.#encodeMessage({ tags, isSoft })]
    await this.#runChange(isSoft ? scripts.makeStale : scripts.invalidate, this.#keys.forRead([], tags), options)
  }

  async clear(): Promise<void> {
    const options = [this.#connections.channel, this.#encodeMessage({ all: true })]
    await this.#runChange(scripts.clear, [this.#keys.clock], options)
  }

  async release(held: readonly HeldLease[]): Promise<void> {
    const keys = held.flatMap(({ key }) => [this.#keys.lease(key), this.#keys.entry(key)])
    const options = held.flatMap(({ lease, dropsEntry }) => [(lease as RedisLease).id, dropsEntry ? 'drop' : 'keep'])
    await this.#connections.run(scripts.release, keys, options)
  }

  async renew(renewals: readonly LeaseRenewal[]): Promise<void> {
    const keys = renewals.map(({ key }) => this.#keys.lease(key))
    const options = renewals.flatMap(({ lease, tags }) => [(lease as RedisLease).id, JSON.stringify(tags)])
    await this.#connections.run(scripts.renew, keys, [String(leaseMs), ...options])
  }

  async stamps(tags: readonly string[], begins: boolean): Promise<TagStamps> {
    this.#coherence.isUsed = true
    const sentAt = this.#time.exact()
    const known = this.#latestKnown
    const names = this.#keys.forRead([], tags)
    // A plain read only if replicas never answer: their stamps may be outdated.
    const isPlain = !begins && this.#connections.isSingleServer
    const [record, ...records] = isPlain
      ? await this.#connections.commands.mGet(names)
      : await this.#connections.run<Buffer[]>(scripts.stamps, names, [this.#newId(), '0', String(stampMs)])
    const clock = this.#parseClock(record)
    if (clock === undefined) return { generation: '', at: 0, stamps: tags.map(() => undefined) }
    this.#observe(clock, sentAt, known)
    const stamps = records.map((record) => parseTagRecord(record).latest)
    return {
      generation: clock.generation,
      at: clock.stamp,
      stamps: stamps.map((stamp) => (Number.isNaN(stamp) ? undefined : stamp)),
    }
  }

  async discard(key: string): Promise<void> {
    await this.#connections.commands.del(this.#keys.entry(key))
  }

  async ping(): Promise<void> {
    await this.#connections.reopen()
    await this.#readWithinRights([], 'verify', noTags)
  }

  async close(): Promise<void> {
    this.#coherence.close()
    this.#connections.close()
  }

  /** A new id: for a lease, and for the generation that a script may begin. */
  #newId(): string {
    return `${this.#processId}${(++this.#ids).toString(36)}`
  }

  #encodeMessage({ tags = noTags, keys = noTags, all = false, isSoft }: Partial<Change>): string {
    return this.#coherence.encodeMessage({ tags, keys, all, isSoft })
  }

  /** The highest stamp that an answer or a message has shown. The clock is at least as late, unless the server has lost changes. */
  get #latestKnown(): number {
    return Math.max(this.#known, this.#coherence.seenStamp)
  }

  /** `undefined` if the record is missing, or another program has written it. */
  #parseClock(record: Buffer | null | undefined): ClockReading | undefined {
    const text = record?.toString('latin1') ?? ''
    if (text === this.#clock.text) return this.#clock.reading
    const fields = /^(\d+)\|(\w+)$/.exec(text)
    const reading = fields ? { stamp: Number(fields[1]), generation: fields[2] as string } : undefined
    this.#clock = { text, reading }
    return reading
  }

  async #runChange(script: RedisScript, keys: string[], options: (string | Buffer)[]): Promise<void> {
    this.#coherence.isUsed = true
    const sentAt = this.#time.exact()
    const known = this.#latestKnown
    const reply = await this.#connections.run<[Buffer, Buffer, Buffer, Buffer]>(script, keys, [
      this.#newId(),
      String(known),
      ...options,
    ])
    const reading = { stamp: Number(reply[0]), generation: String(reply[1]) }
    const before = Number(reply[2])
    const isRegressed = before < known
    this.#known = isRegressed ? reading.stamp : Math.max(this.#known, reading.stamp)
    if (isRegressed) this.#coherence.restart(reading, sentAt)
    else this.#coherence.observeOwn(reading, before, sentAt)
    if (reply[3].length > 0 && !this.#isPublishRefused) {
      this.#isPublishRefused = true
      this.#listener?.subscriptionFailed(new Error(String(reply[3])), `+publish &${this.#connections.channel}`)
    }
    if (isRegressed) throw new ClockRegressedError()
  }

  #observe(reading: ClockReading, sentAt: number, known: number): void {
    this.#coherence.observe(reading, sentAt, known)
    if (reading.stamp < known) {
      this.#known = reading.stamp
      throw new ClockRegressedError()
    }
    this.#known = Math.max(this.#known, reading.stamp)
  }
}

/**
 * The clock's record, the time in microseconds, and for each key the number of its state, 1 if a lease was granted, the
 * entry's age in microseconds, and its bytes.
 */
type ReadReply = [clock: Buffer, time: number, ...entries: (number | Buffer)[]]
