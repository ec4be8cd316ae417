import { randomBytes } from 'node:crypto'
import type { CoarseTime } from './coarse-time.ts'
import { afterPoll } from './fair-deadline.ts'

/** The namespace's clock as an answer of Redis showed it. */
export interface ClockReading {
  readonly stamp: number
  readonly generation: string
}

/** What was made outdated. */
export interface Change {
  readonly tags: readonly string[]
  readonly keys: readonly string[]
  readonly all: boolean
}

/** Hears what this process must outdate. */
export interface CoherenceListener {
  changed(change: Change): void
  /** Messages were missed: anything may be outdated. */
  lost(): void
}

/** The clock that an answer showed, whose message has not arrived yet. */
interface Expectation {
  readonly reading: ClockReading
  readonly sentAt: number
}

/**
 * Tells up to when this process knows of every invalidation.
 *
 * Each message on the bus carries the stamp of the change before it, so a lost one shows as a gap; each answer of the store
 * carries the clock, so a silent bus shows too. While neither shows anything, memory is verified as of the moment the last
 * question was sent. After a gap all of memory is outdated.
 */
export class Coherence {
  /** Whether the store was asked, or memory relied on its messages, since this was last set to false. */
  isUsed = false
  /** Called when a message did not arrive of which an answer of the store shows that it was sent. */
  onMissing: () => void = () => {}
  /** The time up to which memory may answer; raised with each verification. */
  #until = Number.NEGATIVE_INFINITY
  /** Marks this process's own messages, which have already taken effect here. */
  readonly #self = randomBytes(9).toString('base64url')
  readonly #withinMs: number
  readonly #time: CoarseTime
  readonly #listener: CoherenceListener
  #seen: ClockReading | undefined
  #expected: Expectation | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(withinMs: number, time: CoarseTime, listener: CoherenceListener) {
    this.#withinMs = withinMs
    this.#time = time
    this.#listener = listener
  }

  /** Whether all of memory may answer at this time. */
  covers(now: number): boolean {
    this.isUsed = true
    return now < this.#until
  }

  /** Milliseconds since this process last knew of everything. */
  get ageMs(): number {
    return Math.max(0, this.#time.exact() - (this.#until - this.#withinMs))
  }

  /** The text of a message, to be put behind the stamps. */
  pack(change: Change): string {
    return JSON.stringify([this.#self, change.tags, change.keys, change.all])
  }

  /**
   * Takes in the clock that an answer showed.
   *
   * @param sentAt - when the question was sent
   * @param known - the highest stamp an answer had shown by then; a lower one now means that the store lost changes
   */
  observe(reading: ClockReading, sentAt: number, known: number): void {
    const seen = this.#seen
    if (seen === undefined || reading.stamp < known) this.#restart(reading, sentAt)
    else if (reading.stamp < seen.stamp) this.#verify(sentAt)
    else if (reading.generation !== seen.generation) this.#restart(reading, sentAt)
    else if (reading.stamp === seen.stamp) this.#verify(sentAt)
    else this.#expect(reading, sentAt)
  }

  /** Takes in the answer to a change of this process's own, which may overtake its message. */
  observeOwn(reading: ClockReading, before: number, sentAt: number): void {
    if (this.#seen?.stamp !== before) {
      this.observe(reading, sentAt, 0)
      return
    }
    this.#seen = reading
    this.#verify(sentAt)
    // Another answer may have been looked at before this one, and have shown the change already.
    this.#meetExpectation()
  }

  /** Takes in a message: `<stamp>|<stamp before>|<generation>|<text>`. */
  receive(message: string): void {
    const match = /^(\d+)\|(\d+)\|(\w+)\|(.*)$/s.exec(message)
    if (match === null) return
    const reading = { stamp: Number(match[1]), generation: match[3] as string }
    if (this.#seen !== undefined && reading.stamp <= this.#seen.stamp) return
    const isNext = this.#seen?.stamp === Number(match[2])
    this.#seen = reading
    const sent = isNext ? unpack(match[4] as string) : undefined
    if (sent === undefined) this.#listener.lost()
    else if (sent.sender !== this.#self) this.#listener.changed(sent)
    this.#meetExpectation()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #restart(reading: ClockReading, sentAt: number): void {
    this.#seen = reading
    this.#forgetExpectation()
    this.#listener.lost()
    this.#verify(sentAt)
  }

  #verify(sentAt: number): void {
    this.#until = Math.max(this.#until, sentAt + this.#withinMs)
  }

  /** The store is ahead: its message must arrive soon, or it was lost. */
  #expect(reading: ClockReading, sentAt: number): void {
    // Only the first: while changes come steadily, the latest would never be met.
    if (this.#expected !== undefined) return
    const expected = { reading, sentAt }
    this.#expected = expected
    const giveUp = () => afterPoll(() => this.#giveUp(expected))
    this.#timer = setTimeout(giveUp, Math.min(100, this.#withinMs / 4)).unref()
  }

  #meetExpectation(): void {
    if (this.#expected === undefined || (this.#seen?.stamp ?? 0) < this.#expected.reading.stamp) return
    this.#verify(this.#expected.sentAt)
    this.#forgetExpectation()
  }

  #forgetExpectation(): void {
    this.#expected = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #giveUp(expected: Expectation): void {
    // It may have been met since the timer went off.
    if (this.#expected !== expected) return
    this.#restart(expected.reading, expected.sentAt)
    this.onMissing()
  }
}

function unpack(text: string): (Change & { readonly sender: string }) | undefined {
  try {
    const [sender, tags, keys, all] = JSON.parse(text) as [string, string[], string[], boolean]
    return { sender, tags: [...tags], keys: [...keys], all }
  } catch {
    // Somebody else writes to our channel; what the message was for is unknown.
    return undefined
  }
}
