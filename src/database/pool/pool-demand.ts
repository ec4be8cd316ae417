import type { PoolStats } from '../types.ts'

const windowMs = 60_000

/** What callers asked of a pool in a stretch of time. */
interface DemandWindow {
  readonly startedAt: number
  requests: number
  released: number
  heldMs: number
  waitedMs: number
}

/** Measures how many connections are asked for and how long each is held, and remembers the busiest minute. */
export class PoolDemand {
  #current: DemandWindow = openWindow(performance.now())
  #busiest: Demand | undefined

  recordRequest(now: number): void {
    this.#at(now).requests += 1
  }

  recordWait(now: number, waitedMs: number): void {
    this.#at(now).waitedMs += waitedMs
  }

  recordHold(now: number, heldMs: number): void {
    const window = this.#at(now)
    window.released += 1
    window.heldMs += heldMs
  }

  /** The busiest minute, or the current one if it is the first. `undefined` while there were too few requests. */
  snapshot(now: number): Demand | undefined {
    return busier(this.#busiest, demandOf(this.#current, Math.max(now - this.#current.startedAt, 1_000)))
  }

  #at(now: number): DemandWindow {
    if (now - this.#current.startedAt < windowMs) return this.#current
    this.#busiest = busier(this.#busiest, demandOf(this.#current, windowMs))
    this.#current = openWindow(now)
    return this.#current
  }
}

type Demand = NonNullable<PoolStats['demand']>

function openWindow(startedAt: number): DemandWindow {
  return { startedAt, requests: 0, released: 0, heldMs: 0, waitedMs: 0 }
}

const fewestRequests = 10

function demandOf({ requests, released, heldMs, waitedMs }: DemandWindow, lastedMs: number): Demand | undefined {
  if (requests < fewestRequests || released === 0) return undefined
  return { seconds: lastedMs / 1_000, requests, holdMs: heldMs / released, waitMs: waitedMs / requests }
}

function busier(one: Demand | undefined, other: Demand | undefined): Demand | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return busyConnections(other) > busyConnections(one) ? other : one
}

/**
 * Little's law: on average, as many connections are in use as are asked for in a second, times the seconds that each is
 * held.
 */
function busyConnections({ requests, seconds, holdMs }: Demand): number {
  return (requests / seconds) * (holdMs / 1_000)
}

/**
 * Says how many connections the measured demand needs. By Erlang's formula, only one caller in a hundred then has to
 * wait. It is at least the number of connections that were busy, plus those that callers waited for.
 */
export function poolAdvice({ demand, max }: PoolStats): string | undefined {
  if (demand === undefined) return undefined
  const { seconds, requests, holdMs, waitMs } = demand
  const busy = busyConnections(demand)
  const waiting = (requests / seconds) * (waitMs / 1_000)
  const needed = Math.max(connectionsFor(busy), waitMs < holdMs / 100 ? 1 : Math.ceil(busy + waiting))
  const measured = `In the busiest minute ${round(requests / seconds)} connections a second were asked for, each held for ${round(holdMs)} ms after a wait of ${round(waitMs)} ms`
  const law = `by Little's law ${round(busy)} were busy on average, and ${needed} let 99 of 100 callers have one at once`
  const verdict =
    needed > max
      ? `the pool has ${max}: raise its size, if the server has cores for it, or hold connections for a shorter time`
      : `the pool has ${max}, which is enough`
  return `${measured}: ${law}; ${verdict}.`
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}

/** The fewest connections with which at most one caller in a hundred waits. */
function connectionsFor(busy: number): number {
  let connections = 1
  // Erlang B by its recurrence. Erlang C follows from it.
  let blocked = busy / (1 + busy)
  while (connections < 100_000) {
    const waits = connections <= busy ? 1 : (connections * blocked) / (connections - busy * (1 - blocked))
    if (waits <= 0.01) break
    connections += 1
    blocked = (busy * blocked) / (connections + busy * blocked)
  }
  return connections
}
