import { startInterval, startTimer, type Timer } from '../../shared/time/timers.ts'
import { withDeadline } from '../../shared/time/waiting.ts'
import type { MetricFamily } from '../exposition/metric-family.ts'
import { type Reading, ReadingMerger } from '../traffic/reading.ts'
import { slicing } from '../traffic/sliding-window.ts'
import type { FleetMemberStats, FleetStats } from '../types.ts'
import type { DecodedPublication, Publication, PublicationLimits } from './publication.ts'
import { type FleetMember, type FleetTransport, staleIntervals } from './transport.ts'

/** A transport that takes longer is treated as one that failed. Hundreds of members are tens of megabytes. */
const transportMs = 5_000
/** More members than this are a mistake, or hostile. */
const maxMembers = 1_000
/**
 * While so many calls have had no answer in time, no others are made, because a client that waits for its server keeps every
 * call in memory.
 */
const maxUnanswered = 3

export interface FleetSettings extends PublicationLimits {
  /** Without a transport, the fleet is this process alone. */
  readonly transport: FleetTransport | undefined
  readonly instance: string
  /** The numbers of this process now. */
  readonly publication: () => Publication
  /** The metrics of this process now. */
  readonly metrics: () => Promise<Iterable<MetricFamily>>
  readonly onError: (error: unknown) => void
}

/** Publishes the numbers of this process and merges those of all processes of the service. */
export class Fleet {
  readonly #settings: FleetSettings
  #timer: Timer | undefined
  #publishing: Promise<void> | undefined
  #nextPublishing: Promise<void> | undefined
  #unanswered = 0
  #isClosed = false
  #closing: Promise<void> | undefined

  constructor(settings: FleetSettings) {
    this.#settings = settings
    const { transport } = settings
    if (transport === undefined) return
    transport.onRefresh?.(() => this.publish())
    // Processes that started together drift apart, so that they do not all publish at the same moment.
    const jitter = 0.9 + Math.random() / 10
    const firstDelayMs = Math.min(500, transport.intervalMs / 2)
    this.#timer = startTimer(() => {
      void this.publish()
      this.#timer = startInterval(() => void this.publish(), transport.intervalMs * jitter)
    }, firstDelayMs)
  }

  /** Publishes the numbers of this process as they are now. Never rejects: errors go to `onError`. */
  publish(): Promise<void> {
    if (this.#publishing === undefined) return this.#startPublishing()
    // A publication under way may lack what was counted since it began, so another one follows.
    this.#nextPublishing ??= this.#publishing.then(() => {
      this.#nextPublishing = undefined
      return this.#startPublishing()
    })
    return this.#nextPublishing
  }

  #startPublishing(): Promise<void> {
    this.#publishing = this.#publishOnce().finally(() => {
      this.#publishing = undefined
    })
    return this.#publishing
  }

  async #publishOnce(): Promise<void> {
    const { transport, instance, publication, metrics, onError } = this.#settings
    if (transport === undefined || this.#isClosed) return
    try {
      const { encodePublication } = await loadCodec()
      const bytes = await encodePublication(publication(), this.#settings, await metrics())
      // After `close`, the other processes would list this process as stale.
      if (!this.#isClosed) await this.#ask(() => transport.publish(instance, bytes))
    } catch (error) {
      onError(error)
    }
  }

  /** The merged numbers of all live processes: this one as it is now, the others as published last. */
  async read(): Promise<{ readonly reading: Reading; readonly fleet: FleetStats }> {
    const { instance, maxEndpoints, windowMs, publication } = this.#settings
    const collected = ((await this.#collect()) ?? []).toSorted((a, b) => a.ageMs - b.ageMs)
    const others = collected.filter(({ id, hasLeft }) => id !== instance && hasLeft !== true)
    const own = publication()
    const { sliceMs } = slicing(windowMs)
    const merger = new ReadingMerger(maxEndpoints, sliceMs)
    merger.add(own.reading)
    const members = [toMember(instance, 0, false, own)]
    let rejected = 0
    for (const { id, ageMs, bytes } of others) {
      // Only valid publications count for the limit: invalid ones must not keep members out.
      if (members.length > maxMembers) break
      const isStale = ageMs > this.#staleMs
      const theirs = await this.#decode(bytes, (publication) => publication)
      if (theirs === undefined) {
        rejected++
        continue
      }
      // The transport knows the age of the numbers, so their time shows by how much the member's clock is ahead.
      const aheadMs = theirs.reading.historyEndMs + ageMs - own.reading.historyEndMs
      if (!isStale) merger.add(theirs.reading, Math.abs(aheadMs) > 2 * sliceMs ? aheadMs : 0)
      members.push(toMember(id, ageMs, isStale, isStale ? undefined : theirs))
    }
    const stale = members.filter((member) => member.stale).length
    return { reading: merger.result(), fleet: { instances: members.length, stale, rejected, members } }
  }

  /**
   * The metrics of all processes in one, as they were published last. This process publishes first, and so do all that the
   * transport can ask. All members see the same publications, so counters do not go back when another member is scraped
   * next.
   *
   * @returns `undefined` when the transport fails or hangs: the counters of this process alone would look like a restart
   */
  async readMetrics(): Promise<MetricFamily[] | undefined> {
    const { transport, instance, metrics, onError } = this.#settings
    await Promise.all([this.publish(), transport?.refresh && this.#ask(() => transport.refresh!()).catch(onError)])
    const collected = await this.#collect()
    if (collected === undefined) return undefined
    const { FamilyMerger, decodeFamilies } = await loadFamilies()
    const merger = new FamilyMerger()
    let hasOwn = false
    let count = 0
    // The sum of fractions depends on their order, and Prometheus takes the smallest fall of a counter for a restart.
    for (const { id, ageMs, bytes, hasLeft } of collected.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
      if (count >= maxMembers) break
      const theirs = await this.#decode(bytes, (publication) => decodeFamilies(publication.metrics))
      if (theirs === undefined) continue
      count++
      if (id === instance) hasOwn = true
      await merger.add(id, theirs, hasLeft === true || ageMs > this.#staleMs)
    }
    if (!hasOwn) await merger.add(instance, await metrics(), false)
    return merger.result()
  }

  /** Leaves the fleet, so that the others do not list this process as stale. Once only: the user may close the client then. */
  close(): Promise<void> {
    this.#closing ??= this.#leave()
    return this.#closing
  }

  async #leave(): Promise<void> {
    this.#timer?.cancel()
    const { transport, instance, onError } = this.#settings
    // A transport with `refresh` keeps the counters of processes that have left, so the last ones must be published.
    if (transport?.refresh !== undefined) await this.publish()
    this.#isClosed = true
    if (transport === undefined) return
    await this.#ask(() => transport.remove(instance)).catch(onError)
    await this.#ask(() => transport.close()).catch(onError)
  }

  get #staleMs(): number {
    return (this.#settings.transport as FleetTransport).intervalMs * staleIntervals
  }

  /** `undefined` when the transport fails or hangs. */
  async #collect(): Promise<readonly FleetMember[] | undefined> {
    const { transport, onError } = this.#settings
    if (transport === undefined) return []
    return this.#ask(() => transport.collect()).catch((error) => {
      onError(error)
      return undefined
    })
  }

  /** @throws what the transport throws, or an error when it gives no answer in time */
  async #ask<Result>(call: () => Promise<Result>): Promise<Result> {
    if (this.#unanswered >= maxUnanswered) throw new Error('no answer to what was asked before')
    const answer = call()
    return withDeadline(answer, transportMs, () => {
      this.#unanswered++
      const settle = () => {
        this.#unanswered--
      }
      answer.then(settle, settle)
      throw new Error(`no answer within ${transportMs} ms`)
    })
  }

  /** What `read` returns; `undefined` when the bytes are not a publication that fits, or `read` throws. */
  async #decode<Result>(
    bytes: Uint8Array,
    read: (publication: DecodedPublication) => Result,
  ): Promise<Result | undefined> {
    const { decodePublication } = await loadCodec()
    try {
      return read(await decodePublication(bytes, this.#settings))
    } catch {
      return undefined
    }
  }
}

function toMember(id: string, ageMs: number, stale: boolean, publication: Publication | undefined): FleetMemberStats {
  return {
    id,
    release: publication?.release ?? null,
    ageMs,
    stale,
    cpuPercent: publication?.cpuPercent ?? null,
    memoryPercent: publication?.memoryPercent ?? null,
    inFlight: publication?.reading.inFlight ?? null,
  }
}

// Imported by members of a fleet alone.
const loadCodec = () => import('./publication.ts')
const loadFamilies = () => import('../exposition/fleet-families.ts')
