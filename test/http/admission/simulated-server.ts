import { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LoadGuard } from '../../../src/http/admission/load-guard.ts'
import type { LoopClocks } from '../../../src/http/admission/loop-clocks.ts'
import { sendRefusal } from '../../../src/http/admission/refusal.ts'
import type { ShedOptions } from '../../../src/http/admission/shed-options.ts'
import { createRequestMeasure } from '../../../src/http/measure-request.ts'
import type { Outcome } from '../../../src/monitor/types.ts'

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Functions to call, by their time. */
class Agenda {
  #events: { readonly at: number; readonly run: () => void }[] = []
  #head = 0

  add(at: number, run: () => void): void {
    let place = this.#events.length
    while (place > this.#head && this.#events[place - 1]!.at > at) place--
    this.#events.splice(place, 0, { at, run })
  }

  get nextAt(): number {
    return this.#events[this.#head]?.at ?? Infinity
  }

  takeFirst(): () => void {
    return this.#events[this.#head++]!.run
  }

  takeUntil(time: number): (() => void)[] {
    const due: (() => void)[] = []
    while (this.nextAt <= time) due.push(this.takeFirst())
    return due
  }
}

/**
 * An event loop in virtual time, in the phases of libuv: timers, poll, check. Work takes time by {@link burn}. The poll phase
 * reads every connection that has data, but accepts one new connection.
 */
export class SimulatedLoop {
  now = 1_000
  idle = 0
  readonly #timers = new Agenda()
  readonly #readable = new Agenda()
  readonly #connecting = new Agenda()
  #immediates: (() => void)[] = []
  #settling: (() => void)[] = []

  readonly clocks: LoopClocks = {
    now: () => this.now,
    idle: () => this.idle,
    defer: (run) => void this.#immediates.push(run),
    settle: (run) => void this.#settling.push(run),
    after: (ms, run) => this.after(ms, run),
  }

  burn(ms: number): void {
    this.now += ms
  }

  after(ms: number, run: () => void): void {
    this.#timers.add(this.now + ms, run)
  }

  /** Data arrives on an open connection. */
  readAt(at: number, run: () => void): void {
    this.#readable.add(at, run)
  }

  /** A client connects. */
  connectAt(at: number, run: () => void): void {
    this.#connecting.add(at, run)
  }

  /** Runs until nothing is left to do. */
  run(): void {
    while (this.#turn());
  }

  #turn(): boolean {
    for (const run of this.#timers.takeUntil(this.now)) this.#call(run)
    if (this.#immediates.length === 0) {
      const next = Math.min(this.#timers.nextAt, this.#readable.nextAt, this.#connecting.nextAt)
      if (next === Infinity) return false
      if (next > this.now) {
        this.idle += next - this.now
        this.now = next
      }
    }
    const readable = this.#readable.takeUntil(this.now)
    if (this.#connecting.nextAt <= this.now) this.#call(this.#connecting.takeFirst())
    for (const run of readable) this.#call(run)
    const immediates = this.#immediates
    this.#immediates = []
    for (const run of immediates) this.#call(run)
    return true
  }

  #call(run: () => void): void {
    run()
    while (this.#settling.length > 0) this.#settling.shift()?.()
  }
}

class SimulatedResponse extends EventEmitter {
  statusCode = 200
  headersSent = false
  writableEnded = false
  destroyed = false
  closed = false
  shouldKeepAlive = true
  headers: readonly string[] = []
  readonly #loop: SimulatedLoop

  constructor(loop: SimulatedLoop) {
    super()
    this.#loop = loop
  }

  getHeader(): undefined {
    return undefined
  }

  writeHead(status: number, headers: readonly string[]): this {
    this.statusCode = status
    this.headers = headers
    this.headersSent = true
    return this
  }

  end(): void {
    if (this.destroyed) return
    this.writableEnded = true
    this.#loop.burn(0.03)
    this.#close()
  }

  destroy(): void {
    this.destroyed = true
    this.#close()
  }

  #close(): void {
    if (this.closed) return
    this.closed = true
    this.emit('close')
  }
}

/** What a handler does with the loop; it calls `done` when the response is ready. */
export type Work = (loop: SimulatedLoop, done: () => void) => void

export interface SimulatedRequest {
  readonly sentAt: number
  readonly priority: 'critical' | 'normal' | 'low'
  readonly url: string
  /** 0 when the client gave up. */
  status: number
  ms: number
  outcome: Outcome | undefined
  retryAfter: number
  hasRun: boolean
}

export interface LoadOptions {
  /** Stretches of load, one after the other: requests a second for so many seconds. */
  readonly phases: readonly (readonly [rate: number, seconds: number])[]
  /** So many clients on open connections, each of which sends its next request as soon as one is answered or given up. */
  readonly clients?: number
  readonly work: (request: SimulatedRequest, random: () => number) => Work
  readonly seed: number
  readonly shed?: ShedOptions<SimulatedRequest> | undefined
  readonly isReconnecting?: boolean
  /** What Node and the framework take for a request, besides its handler. @defaultValue 0.12 */
  readonly parseMs?: number
  readonly priorityOf?: (random: () => number) => SimulatedRequest['priority']
  readonly urlOf?: (random: () => number) => string
  /** Events of the server's own, such as a stall. */
  readonly also?: (loop: SimulatedLoop, arrive: (at: number) => void) => void
}

export interface LoadResult {
  readonly requests: readonly SimulatedRequest[]
  /** Of health probes on connections of their own, each 100 ms. */
  readonly healthMs: readonly number[]
  readonly guard: LoadGuard<SimulatedRequest>
  readonly warnings: readonly string[]
}

const giveUpMs = 1_000

/** Sends requests at random moments to a server behind a {@link LoadGuard}, whatever comes back. */
export function simulateLoad(options: LoadOptions): LoadResult {
  const { phases, clients = 0, work, seed, shed = {}, isReconnecting = false, also } = options
  const { priorityOf = () => 'normal', urlOf = () => '/work', parseMs = 0.12 } = options
  const random = randomOf(seed)
  const loop = new SimulatedLoop()
  const requests: SimulatedRequest[] = []
  const healthMs: number[] = []
  const warnings: string[] = []
  const monitor = {
    start: () => loop.now,
    record: (_method: string, _route: string | null, _status: number, _start: number, outcome?: Outcome) => {
      recorded = outcome
    },
    routeOf: () => undefined,
    isDraining: false,
    addAdmission: () => () => {},
    ignores: () => false,
    warn: ({ code }: { code: string }) => void warnings.push(code),
  }
  let recorded: Outcome | undefined
  const measure = createRequestMeasure(monitor, () => undefined)
  const guard = new LoadGuard<SimulatedRequest>(monitor, { priority: ({ priority }) => priority, ...shed }, loop.clocks)
  const server = new EventEmitter()

  const serve = (request: SimulatedRequest, response: SimulatedResponse) => {
    loop.burn(parseMs)
    const incoming = { method: 'GET', url: request.url, headers: {}, aborted: false, socket: { server } }
    const message = incoming as unknown as IncomingMessage
    const outgoing = response as unknown as ServerResponse
    measure('GET', message, outgoing, request, () => '/work')
    // After the listener of the measurement.
    response.on('close', () => {
      request.outcome = recorded
    })
    const run = () => {
      request.hasRun = true
      work(request, random)(loop, () => response.end())
    }
    if (guard.admits('GET', request.url, outgoing)) run()
    else
      guard.hold({
        request: message,
        response: outgoing,
        original: request,
        run,
        refuse: (seconds) => sendRefusal(outgoing, seconds),
        drop: () => {},
      })
  }

  const arrive = (at: number, then?: (at: number) => void) => {
    const priority = priorityOf(random)
    const url = urlOf(random)
    const request: SimulatedRequest = {
      sentAt: at,
      priority,
      url,
      status: 0,
      ms: giveUpMs,
      outcome: undefined,
      retryAfter: 0,
      hasRun: false,
    }
    requests.push(request)
    const response = new SimulatedResponse(loop)
    let hasGivenUp = false
    response.on('close', () => {
      if (hasGivenUp || response.destroyed) return
      request.status = response.statusCode
      request.ms = loop.now - at
      request.retryAfter = Number(response.headers[response.headers.indexOf('retry-after') + 1])
      then?.(loop.now)
    })
    // The server sees that a client has left when it reads.
    loop.readAt(at + giveUpMs, () => {
      hasGivenUp = true
      if (response.closed) return
      response.destroy()
      then?.(loop.now)
    })
    const read = () => {
      if (!hasGivenUp) serve(request, response)
    }
    if (!isReconnecting) loop.readAt(at, read)
    else {
      loop.connectAt(at, () => {
        server.emit('connection')
        loop.readAt(loop.now, read)
      })
    }
  }

  let start = loop.now
  const endsAt = start + phases.reduce((sum, [, seconds]) => sum + seconds, 0) * 1_000
  const again = (at: number) => {
    if (at < endsAt) arrive(at + 0.2 * random(), again)
  }
  for (let client = 0; client < clients; client++) again(start)
  for (const [rate, seconds] of phases) {
    const end = start + seconds * 1_000
    const gap = () => (-Math.log(1 - random()) / rate) * 1_000
    let at = start + gap()
    while (at < end) {
      arrive(at)
      at += gap()
    }
    for (let probeAt = start; probeAt < end; probeAt += 100) {
      loop.connectAt(probeAt, () => {
        server.emit('connection')
        loop.readAt(loop.now, () => {
          loop.burn(parseMs)
          healthMs.push(loop.now - probeAt)
        })
      })
    }
    start = end
  }
  also?.(loop, arrive)
  loop.run()
  return { requests, healthMs, guard, warnings }
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
