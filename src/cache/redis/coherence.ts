import { nodeCrypto } from '../../shared/platform/builtins.ts'
import type { CoarseTime } from '../../shared/time/clock.ts'
import type { Change } from '../memory/invalidation-log.ts'
import { afterPoll } from '../store/limits.ts'

/** The namespace's clock, as an answer of Redis showed it. */
export interface ClockReading {
  readonly stamp: number
  readonly generation: string
}

/** A clock reading that is ahead of the messages: the message about the change is awaited. */
interface Expectation {
  readonly reading: ClockReading
  readonly sentAt: number
}

/**
 * Knows until when entries in memory may be served: as long as this process has heard of every invalidation.
 *
 * Each message carries the stamp of the change before it, so a lost message shows as a gap. Each answer of the store carries
 * the clock, so a connection that delivers no messages shows too. While neither happens, memory is verified as of the moment
 * the last question was sent. After a gap all of memory is outdated.
 */
export class Coherence {
  /** Set when the store is read or memory asks {@link isVerifiedAt}; the heartbeat resets it. */
  isUsed = false
  /** Called when the store's clock shows a change whose message does not arrive. */
  onMissing: () => void = () => {}
  /** Until then memory may answer. Each verification moves it ahead. */
  #until = Number.NEGATIVE_INFINITY
  /** Marks the messages of this process, which have already taken effect here. */
  readonly #sender = nodeCrypto().randomBytes(9).toString('base64url')
  readonly #withinMs: number
  readonly #time: CoarseTime
  readonly #onChange: (change: Change) => void
  #seen: ClockReading | undefined
  #expected: Expectation | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param onChange - called with each change by another process, and with a change of everything when messages were missed */
  constructor(withinMs: number, time: CoarseTime, onChange: (change: Change) => void) {
    this.#withinMs = withinMs
    this.#time = time
    this.#onChange = onChange
  }

  /** Whether this process has heard of every invalidation that is more than `coherence.within` old. */
  isVerifiedAt(now: number): boolean {
    this.isUsed = true
    return now < this.#until
  }

  get seenStamp(): number {
    return this.#seen?.stamp ?? 0
  }

  /** Milliseconds since memory was last verified. */
  get ageMs(): number {
    return Math.max(0, this.#time.exact() - (this.#until - this.#withinMs))
  }

  /** The text of a message; the scripts put the stamps before it. */
  encodeMessage(change: Change): string {
    const { tags, keys, all, isSoft } = change
    // Release 0.1 ignores the fifth field, so it drops the entries that we make stale.
    return JSON.stringify(isSoft === true ? [this.#sender, tags, keys, all, isSoft] : [this.#sender, tags, keys, all])
  }

  /**
   * Compares the clock that an answer showed with the messages that have arrived.
   *
   * @param sentAt - when the question was sent
   * @param known - the highest stamp that was known by then; a lower one now means that the store has lost changes
   */
  observe(reading: ClockReading, sentAt: number, known: number): void {
    const seen = this.#seen
    if (seen === undefined || reading.stamp < known) this.restart(reading, sentAt)
    else if (reading.stamp < seen.stamp) this.#verify(sentAt)
    else if (reading.generation !== seen.generation) this.restart(reading, sentAt)
    else if (reading.stamp === seen.stamp) this.#verify(sentAt)
    else this.#expect(reading, sentAt)
  }

  /**
   * As {@link observe}, for the answer to a change by this process. The answer may arrive before the message about the
   * change.
   */
  observeOwn(reading: ClockReading, before: number, sentAt: number): void {
    if (this.#seen?.stamp !== before) {
      this.observe(reading, sentAt, 0)
      return
    }
    this.#seen = reading
    this.#verify(sentAt)
    // An answer that was handled earlier may have shown this change already.
    this.#meetExpectation()
  }

  /** @param message - `<stamp>|<stamp before>|<generation>|<text>` */
  receive(message: string): void {
    const match = /^(\d+)\|(\d+)\|(\w+)\|(.*)$/s.exec(message)
    if (match === null) return
    const reading = { stamp: Number(match[1]), generation: match[3] as string }
    if (this.#seen !== undefined && reading.stamp <= this.#seen.stamp) return
    const isNext = this.#seen?.stamp === Number(match[2])
    this.#seen = reading
    const sent = isNext ? decodeMessage(match[4] as string) : undefined
    if (sent === undefined) this.#onChange(changeOfAll)
    else if (sent.sender !== this.#sender) this.#onChange(sent)
    this.#meetExpectation()
  }

  /** Forgets what was heard: the store has lost changes, or messages about changes were lost. */
  restart(reading: ClockReading, sentAt: number): void {
    this.#seen = reading
    this.#forgetExpectation()
    this.#onChange(changeOfAll)
    this.#verify(sentAt)
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #verify(sentAt: number): void {
    this.#until = Math.max(this.#until, sentAt + this.#withinMs)
  }

  /** The store's clock is ahead of the messages: the missing one must arrive soon, or it is lost. */
  #expect(reading: ClockReading, sentAt: number): void {
    // Wait for the first missing message only: while changes go on without a pause, the latest would never arrive in time.
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
    // The message may have arrived since the timer fired.
    if (this.#expected !== expected) return
    this.restart(expected.reading, expected.sentAt)
    this.onMissing()
  }
}

const changeOfAll: Change = { tags: [], keys: [], all: true }

/** The server has lost changes, as a replica that took over may have. */
export class ClockRegressedError extends Error {
  constructor() {
    super('Redis has lost changes that it had acknowledged')
  }
}

function decodeMessage(text: string): (Change & { readonly sender: string }) | undefined {
  try {
    const [sender, tags, keys, all, isSoft] = JSON.parse(text) as [string, string[], string[], boolean, boolean?]
    return { sender, tags: [...tags], keys: [...keys], all, isSoft: isSoft === true }
  } catch {
    // Another program publishes on this channel.
    return undefined
  }
}
