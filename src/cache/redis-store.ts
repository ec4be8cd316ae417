import { randomBytes } from 'node:crypto'
import type { Change, ClockReading, Coherence } from './coherence.ts'
import { EntryReader, packHead, parseDigits } from './entry-format.ts'
import { toStoreKey } from './key.ts'
import {
  bufferCommands,
  isSingleServer,
  type RedisClientLike,
  type RedisCommands,
  type RedisSource,
} from './redis-client.ts'
import { RedisConnection } from './redis-connection.ts'
import { foundStates, type RedisScript, scripts, tagMarginMs } from './redis-scripts.ts'
import {
  type Found,
  type ReadMode,
  type Store,
  type StoredEntry,
  type StoreListener,
  type Ticket,
  ticketMs,
  type WriteOutcome,
} from './store.ts'
import { areSameTags } from './tags.ts'

const noTags: readonly string[] = []
const nothing = Buffer.alloc(0)

/** How long what is known of the server's time is relied on; clocks drift apart, and may be set. */
const trustTimeMs = 60_000

class RedisTicket {
  readonly id: string
  /** The clock as it was when the ticket was granted. */
  readonly clock: ClockReading

  constructor(id: string, clock: ClockReading) {
    this.id = id
    this.clock = clock
  }
}

/**
 * The store on Redis: each operation is one script, and so one round trip and one step that nothing interrupts. All keys of a
 * namespace share a hash tag, and so a node of a cluster.
 */
export class RedisStore implements Store {
  readonly #source: RedisSource
  readonly #prefix: string
  readonly #coherence: Coherence
  readonly #now: () => number
  readonly #self = randomBytes(9).toString('hex')
  readonly #entries = new EntryReader()
  #client: RedisClientLike | undefined
  #commands: RedisCommands | undefined
  #isSingle = false
  #connection: RedisConnection | undefined
  #subscription: RedisConnection | undefined
  #isClosed = false
  #ids = 0
  /** The highest stamp that an answer has shown. */
  #known = 0
  /** The clock's record as it was last read. */
  #clock: { readonly text: string; readonly reading: ClockReading | undefined } = { text: '', reading: undefined }
  /** By how much the server's time is ahead of ours. */
  #time = { aheadMs: 0, learnedAt: Number.NEGATIVE_INFINITY }

  constructor(source: RedisSource, namespace: string, coherence: Coherence, now: () => number) {
    this.#source = source
    this.#prefix = `{${namespace}}:`
    this.#coherence = coherence
    this.#now = now
    coherence.onMissing = () => this.#resubscribe()
  }

  async prepare(): Promise<void> {
    this.#client = await this.#source.open()
  }

  async connect(listener: StoreListener): Promise<void> {
    if (this.#isClosed) return
    const client = this.#client as RedisClientLike
    this.#connection = new RedisConnection(client, this.#source.given !== undefined, listener)
    this.#commands = bufferCommands(client)
    this.#isSingle = isSingleServer(client)
    await this.#connection.open()
    // Without its messages the process is still coherent, through the clock that each answer carries.
    await this.#subscribe().catch((error: unknown) => listener.troubled(error))
    await this.ping()
  }

  async reconnect(listener: StoreListener): Promise<void> {
    if (this.#connection?.isSilent !== true) return
    this.#connection.drop()
    this.#connection = undefined
    await this.prepare()
    await this.connect(listener)
  }

  isListening(): boolean {
    return this.#subscription?.isReady === true
  }

  read(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<Found[]> {
    this.#coherence.isUsed = true
    return mode === 'expected' ? this.#look(keys, tags) : this.#search(keys, mode, tags)
  }

  async #search(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<Found[]> {
    const id = this.#newId()
    const sentAt = this.#now()
    const known = this.#known
    const asked = this.#keysOf(keys, tags)
    const answer = await this.#run<ReadAnswer>(scripts.read, asked, [
      mode,
      id,
      String(known),
      String(keys.length),
      JSON.stringify(tags),
    ])
    const clock = this.#readClock(answer[0]) as ClockReading
    this.#observe(clock, sentAt, known)
    // As if the question had taken no time on its way: entries then look a little older than they are, never younger.
    this.#time = { aheadMs: answer[1] / 1_000 - sentAt, learnedAt: sentAt }
    return keys.map((_key, index) => {
      const at = 2 + index * 4
      const ticket = answer[at + 1] === 1 ? new RedisTicket(id, clock) : undefined
      return this.#toFound(
        foundStates[answer[at] as number] as Found['state'],
        (answer[at + 2] as number) / 1_000,
        answer[at + 3] as Buffer,
        ticket,
      )
    })
  }

  /**
   * Reads without a script, because to run one takes Redis longer than anything else about a hit, and then with it, unless all
   * the entries are there, fresh and current, and carry just the tags.
   */
  async #look(keys: readonly string[], tags: readonly string[]): Promise<Found[]> {
    const sentAt = this.#now()
    const known = this.#known
    const { aheadMs, learnedAt } = this.#time
    if (!this.#isSingle || sentAt - learnedAt > trustTimeMs) return this.#search(keys, 'load', tags)
    // Not GET, which fails when there is something else under the key.
    const records = await this.#ready().mGet(this.#keysOf(keys, tags))
    const clock = this.#readClock(records[0])
    if (clock === undefined) return this.#search(keys, 'load', tags)
    this.#observe(clock, sentAt, known)
    const stamps = records.slice(1 + keys.length).map((record) => parseDigits(record ?? nothing))
    const seen: Seen = { clock, tags, stamps, nowMs: sentAt + aheadMs }
    const found: Found[] = []
    for (let index = 1; index <= keys.length; index++) {
      const entry = this.#freshEntry(records[index] ?? nothing, seen)
      if (entry === undefined) return this.#search(keys, 'load', tags)
      found.push(entry)
    }
    return found
  }

  /** An entry, if it is fresh and current and carries just the tags; the script judges all others. */
  #freshEntry(bytes: Buffer, { clock, nowMs, tags, stamps }: Seen): Found | undefined {
    const entry = this.#entries.read(bytes)
    if (entry === undefined || entry.generation !== clock.generation || entry.asOf > clock.stamp) return undefined
    const { ttlMs, tags: carried } = entry.header
    if (!areSameTags(carried, tags) || !stamps.every((stamp) => stamp <= entry.asOf)) return undefined
    const ageMs = Math.max(0, nowMs - entry.storedAt / 1_000)
    return ageMs < ttlMs ? { state: 'fresh', ageMs, entry } : undefined
  }

  #toFound(state: Found['state'], ageMs: number, bytes: Buffer, ticket: Ticket | undefined): Found {
    if (state !== 'fresh' && state !== 'stale') return { state, ageMs, ticket }
    const entry = this.#entries.read(bytes)
    return entry === undefined ? { state: 'corrupt', ticket } : { state, ageMs, ticket, entry }
  }

  async write(key: string, entry: StoredEntry, ticket: Ticket): Promise<WriteOutcome> {
    const { id, clock } = ticket as RedisTicket
    const { header, payload } = entry
    const ms = lifetime(entry)
    const sentAt = this.#now()
    const known = this.#known
    const options = [id, String(clock.stamp), clock.generation, String(ms), packHead(header), payload, tagLifetime(ms)]
    const [outcome, stamp, current] = await this.#run<[number, Buffer, Buffer]>(
      scripts.write,
      [this.#key('clock'), this.#key('e', key), this.#key('l', key)],
      [...options, ...header.tags],
    )
    if (current.length > 0) this.#observe({ stamp: Number(stamp), generation: String(current) }, sentAt, known)
    return outcome === 1 ? 'stored' : outcome === 0 ? 'invalidated' : 'expired'
  }

  async set(key: string, entry: StoredEntry): Promise<void> {
    const { header, payload } = entry
    const ms = lifetime(entry)
    const message = this.#coherence.pack(change({ keys: [key] }))
    const options = [String(ms), packHead(header), payload, tagLifetime(ms), this.#channel, message]
    const keys = [this.#key('clock'), this.#key('e', key), this.#key('l', key)]
    await this.#change(scripts.set, keys, [...options, ...header.tags])
  }

  async delete(keys: readonly string[]): Promise<void> {
    const records = keys.flatMap((key) => [this.#key('e', key), this.#key('l', key)])
    const message = this.#coherence.pack(change({ keys }))
    await this.#change(scripts.remove, [this.#key('clock'), ...records], [this.#channel, message])
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    const message = this.#coherence.pack(change({ tags }))
    const options = [String(tagMarginMs), this.#channel, message]
    await this.#change(scripts.invalidate, [this.#key('clock')], [...options, ...tags])
  }

  async clear(): Promise<void> {
    const message = this.#coherence.pack(change({ all: true }))
    await this.#change(scripts.clear, [this.#key('clock')], [this.#channel, message])
  }

  async release(key: string, ticket: Ticket): Promise<void> {
    await this.#run(scripts.release, [this.#key('l', key)], [(ticket as RedisTicket).id])
  }

  async renew(key: string, ticket: Ticket): Promise<void> {
    await this.#run(scripts.renew, [this.#key('l', key)], [(ticket as RedisTicket).id, String(ticketMs)])
  }

  async discard(key: string): Promise<void> {
    await this.#ready().del(this.#key('e', key))
  }

  async ping(): Promise<void> {
    await this.#connection?.open()
    await this.#look([], noTags)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#coherence.close()
    this.#connection?.drop()
    this.#subscription?.drop()
  }

  /** Names a ticket, or the generation that begins if the clock turns out to be lost, or with `clear()`. */
  #newId(): string {
    return `${this.#self}${(++this.#ids).toString(36)}`
  }

  get #channel(): string {
    return `${this.#prefix}bus`
  }

  /** A reading of the clock's record, or `undefined` if it is lost or foreign. */
  #readClock(record: Buffer | null | undefined): ClockReading | undefined {
    const text = record?.toString('latin1') ?? ''
    if (text === this.#clock.text) return this.#clock.reading
    const fields = /^(\d+)\|(\w+)$/.exec(text)
    const reading = fields ? { stamp: Number(fields[1]), generation: fields[2] as string } : undefined
    this.#clock = { text, reading }
    return reading
  }

  /** Of the clock, the entries, and the records of the tags. */
  #keysOf(keys: readonly string[], tags: readonly string[]): string[] {
    const all = [this.#key('clock')]
    for (let index = 0; index < keys.length; index++) all.push(this.#key('e', keys[index]))
    for (let index = 0; index < tags.length; index++) all.push(`${this.#prefix}t:${tags[index]}`)
    return all
  }

  #key(kind: 'clock' | 'e' | 'l', key?: string): string {
    return key === undefined ? `${this.#prefix}${kind}` : `${this.#prefix}${kind}:${toStoreKey(key)}`
  }

  #ready(): RedisCommands {
    if (this.#commands === undefined || this.#connection?.isReady !== true)
      throw new NotConnectedError('Redis is not connected')
    return this.#commands
  }

  async #change(script: RedisScript, keys: string[], options: (string | Buffer)[]): Promise<void> {
    this.#coherence.isUsed = true
    const sentAt = this.#now()
    const known = this.#known
    const answer = await this.#run<[Buffer, Buffer, Buffer]>(script, keys, [this.#newId(), String(known), ...options])
    const reading = { stamp: Number(answer[0]), generation: String(answer[1]) }
    const before = Number(answer[2])
    this.#known = Math.max(this.#known, reading.stamp)
    this.#coherence.observeOwn(reading, before, sentAt)
    if (before < known) throw new RewoundError()
  }

  async #run<Answer>(script: RedisScript, keys: string[], options: (string | Buffer)[]): Promise<Answer> {
    const commands = this.#ready()
    const scriptArguments = { keys, arguments: options }
    try {
      return (await commands.evalSha(script.sha, scriptArguments)) as Answer
    } catch (error) {
      if (!/^NOSCRIPT/.test((error as Error).message)) throw error
      return (await commands.eval(script.text, scriptArguments)) as Answer
    }
  }

  #observe(reading: ClockReading, sentAt: number, known: number): void {
    this.#coherence.observe(reading, sentAt, known)
    if (reading.stamp < known) {
      this.#known = reading.stamp
      throw new RewoundError()
    }
    this.#known = Math.max(this.#known, reading.stamp)
  }

  #resubscribe(): void {
    if (this.#subscription?.isSilent === true) this.#subscribe().catch(() => {})
  }

  /** Messages take a connection of their own, always ours. */
  async #subscribe(): Promise<void> {
    this.#subscription?.drop()
    const client = this.#source.given?.duplicate() ?? (await this.#source.open())
    if (this.#isClosed) return
    this.#subscription = new RedisConnection(client, false, {})
    await this.#subscription.open()
    await client.subscribe(this.#channel, (message) => this.#coherence.receive(message))
  }
}

/** The connection is not there; what was to be sent was not. */
class NotConnectedError extends Error {}

/** The clock went back: the server has lost changes, as one that takes another's place may have. */
class RewoundError extends Error {
  constructor() {
    super('Redis has lost changes that it had acknowledged')
  }
}

/**
 * The clock's record, the time in microseconds, and for each key the number of its state, whether a ticket was granted, the
 * entry's age in microseconds, its bytes.
 */
type ReadAnswer = [clock: Buffer, time: number, ...parts: (number | Buffer)[]]

/** What one look at Redis showed beside the entries. */
interface Seen {
  readonly clock: ClockReading
  readonly nowMs: number
  readonly tags: readonly string[]
  readonly stamps: readonly number[]
}

function change(part: Partial<Change>): Change {
  return { tags: part.tags ?? noTags, keys: part.keys ?? noTags, all: part.all ?? false }
}

function lifetime({ header }: StoredEntry): number {
  return Math.max(1, Math.ceil(header.ttlMs + header.staleMs))
}

function tagLifetime(entryMs: number): string {
  return String(entryMs + tagMarginMs)
}
