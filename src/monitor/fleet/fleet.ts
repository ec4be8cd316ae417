import { type Reading, ReadingSum } from '../reading.ts'
import type { FleetMemberStats, FleetStats } from '../types.ts'
import { decodePublication, encodePublication, type Publication, type PublicationLimits } from './codec.ts'
import { type FleetMember, type FleetTransport, staleIntervals } from './transport.ts'

/** Longer than this, nobody waits for a transport. */
const collectMs = 2_000
/** More members than a service has are a mistake, or hostile. */
const mostMembers = 1_000

/** How a {@link Fleet} is made. */
export interface FleetSettings extends PublicationLimits {
  /** Without one the fleet is this process. */
  readonly transport: FleetTransport | undefined
  readonly instance: string
  /** What this process has to say now. */
  readonly publication: () => Publication
  readonly onError: (error: unknown) => void
}

/** The processes of a service, as this one sees them. */
export class Fleet {
  readonly #settings: FleetSettings
  #timer: NodeJS.Timeout | undefined
  #isPublishing = false

  constructor(settings: FleetSettings) {
    this.#settings = settings
    const { transport } = settings
    if (transport === undefined) return
    // Soon for the first time, then apart from the others, who may all have been started at once.
    const jitter = 0.9 + Math.random() / 10
    this.#timer = setTimeout(
      () => {
        void this.publish()
        this.#timer = setInterval(() => void this.publish(), transport.intervalMs * jitter).unref()
      },
      Math.min(500, transport.intervalMs / 2),
    ).unref()
  }

  /** Tells the others how it goes here. Never rejects: a fleet that cannot be reached is none of a request's business. */
  async publish(): Promise<void> {
    const { transport, instance, layout, publication, onError } = this.#settings
    if (transport === undefined || this.#isPublishing) return
    this.#isPublishing = true
    try {
      await transport.publish(instance, await encodePublication(publication(), layout))
    } catch (error) {
      onError(error)
    } finally {
      this.#isPublishing = false
    }
  }

  /** The sum of all live processes, this one as it is now, and who they are. */
  async read(): Promise<{ readonly reading: Reading; readonly fleet: FleetStats }> {
    const { instance, maxEndpoints, publication } = this.#settings
    const others = (await this.#collect()).filter(({ id }) => id !== instance).slice(0, mostMembers)
    const own = publication()
    const sum = new ReadingSum(maxEndpoints)
    sum.add(own.reading)
    const members = [memberOf(instance, 0, false, own)]
    let rejected = 0
    for (const { id, ageMs, bytes } of others) {
      const isStale = ageMs > this.#staleMs
      const theirs = isStale ? undefined : await this.#decode(bytes)
      if (theirs !== undefined) sum.add(theirs.reading)
      else if (!isStale) rejected++
      if (isStale || theirs !== undefined) members.push(memberOf(id, ageMs, isStale, theirs))
    }
    const stale = members.filter((member) => member.stale).length
    return { reading: sum.result(), fleet: { instances: members.length, stale, rejected, members } }
  }

  /** Leaves the fleet: who goes in an orderly way is not missed. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#isPublishing = true
    const { transport, instance, onError } = this.#settings
    try {
      await transport?.remove(instance)
      await transport?.close()
    } catch (error) {
      onError(error)
    }
  }

  get #staleMs(): number {
    return (this.#settings.transport as FleetTransport).intervalMs * staleIntervals
  }

  /** What there is, or nothing when the transport fails or hangs. */
  async #collect(): Promise<readonly FleetMember[]> {
    const { transport, onError } = this.#settings
    if (transport === undefined) return []
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${collectMs} ms`)), collectMs)
    })
    try {
      return await Promise.race([transport.collect(), late])
    } catch (error) {
      onError(error)
      return []
    } finally {
      clearTimeout(timer)
    }
  }

  async #decode(bytes: Uint8Array): Promise<Publication | undefined> {
    try {
      return await decodePublication(bytes, this.#settings)
    } catch {
      return undefined
    }
  }
}

function memberOf(id: string, ageMs: number, stale: boolean, publication: Publication | undefined): FleetMemberStats {
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
