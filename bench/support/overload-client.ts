/** Sends requests at a given rate, whatever comes back, in a process of its own: `node overload-client.ts <port> <plan>`. */
import { Agent, get } from 'node:http'

/** One stretch of load. */
export interface Phase {
  readonly rate: number
  readonly seconds: number
}

export interface Plan {
  readonly phases: readonly Phase[]
  /** Each path with its share of the requests. */
  readonly paths: Readonly<Record<string, number>>
  /** Shares of the requests by their header `x-priority`. */
  readonly priorities?: Readonly<Record<string, number>>
  /** Whether each request opens a connection. */
  readonly isReconnecting?: boolean
  /** Instead of the rates: so many clients, each of which sends its next request after the answer. For the capacity. */
  readonly clients?: number
  /** Sends one request to `/stall` after so many seconds. */
  readonly stallAfter?: number
}

/** What came back to the requests of one phase; numbers a second, times in milliseconds. */
export interface PhaseReport {
  readonly sent: number
  /** Answered with 200 within 300 ms. */
  readonly good: number
  /** Answered at all, with 200. */
  readonly answered: number
  readonly refused: number
  /** Without an answer within a second, or with a broken connection. */
  readonly lost: number
  readonly p50: number
  readonly p99: number
  /** Without the first half second. */
  readonly p99Steady: number
  readonly refusedP99: number
  readonly healthWorst: number
  readonly refusedCritical: number
  /** How late the client itself was at worst: above 30 ms it measures itself. */
  readonly clientLate: number
}

const giveUpMs = 1_000
const goodMs = 300

class Tally {
  readonly #seconds: number
  readonly #accepted: { readonly ms: number; readonly at: number }[] = []
  readonly #refusedMs: number[] = []
  sent = 0
  lost = 0
  healthWorst = 0
  refusedCritical = 0
  clientLate = 0

  constructor({ seconds }: Phase) {
    this.#seconds = seconds
  }

  add(status: number, ms: number, at: number): void {
    if (status === 200) this.#accepted.push({ ms, at })
    else this.#refusedMs.push(ms)
  }

  report(): PhaseReport {
    const aSecond = (count: number) => count / this.#seconds
    const all = this.#accepted.map(({ ms }) => ms)
    return {
      sent: aSecond(this.sent),
      good: aSecond(all.filter((ms) => ms <= goodMs).length),
      answered: aSecond(all.length),
      refused: aSecond(this.#refusedMs.length),
      lost: aSecond(this.lost),
      p50: quantile(all, 0.5),
      p99: quantile(all, 0.99),
      p99Steady: quantile(
        this.#accepted.filter(({ at }) => at >= 500).map(({ ms }) => ms),
        0.99,
      ),
      refusedP99: quantile(this.#refusedMs, 0.99),
      healthWorst: this.healthWorst,
      refusedCritical: this.refusedCritical,
      clientLate: this.clientLate,
    }
  }
}

function quantile(values: number[], share: number): number {
  values.sort((a, b) => a - b)
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN
}

function pick(shares: Readonly<Record<string, number>>): string {
  let rest = Math.random() * Object.values(shares).reduce((sum, share) => sum + share, 0)
  for (const [name, share] of Object.entries(shares)) {
    rest -= share
    if (rest <= 0) return name
  }
  return Object.keys(shares)[0] as string
}

async function run(port: number, plan: Plan): Promise<PhaseReport[]> {
  const { phases, paths, priorities = { normal: 1 }, isReconnecting = false, stallAfter } = plan
  const agent = isReconnecting ? false : new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const tallies = phases.map((phase) => new Tally(phase))
  const startedAt = performance.now()

  const send = (path: string, tally: Tally, phaseStart: number, priority: string) => {
    const at = performance.now()
    tally.sent++
    let isOver = false
    const end = (finish: () => void) => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      finish()
    }
    const lose = () => end(() => void tally.lost++)
    const request = get({ port, host: '127.0.0.1', path, agent, headers: { 'x-priority': priority } }, (response) => {
      response.resume().on('end', () =>
        end(() => {
          if (response.statusCode !== 200 && priority === 'critical') tally.refusedCritical++
          tally.add(response.statusCode as number, performance.now() - at, at - phaseStart)
        }),
      )
    })
    request.on('error', lose)
    const timer = setTimeout(() => {
      lose()
      request.destroy()
    }, giveUpMs)
  }

  /** As a probe of Kubernetes: each on a connection of its own. */
  const probe = (tally: Tally) => {
    const at = performance.now()
    const end = () => {
      tally.healthWorst = Math.max(tally.healthWorst, performance.now() - at)
    }
    get({ port, host: '127.0.0.1', path: '/health/live', agent: false }, (response) =>
      response.resume().on('end', end),
    ).on('error', end)
  }

  let phaseStart = startedAt
  for (const [number, phase] of phases.entries()) {
    const tally = tallies[number] as Tally
    const endsAt = phaseStart + phase.seconds * 1_000
    let dueAt = phaseStart
    let probeAt = phaseStart
    let stallAt = stallAfter === undefined ? Number.POSITIVE_INFINITY : startedAt + stallAfter * 1_000
    await new Promise<void>((resolve) => {
      let tickedAt = performance.now()
      const ticks = setInterval(() => {
        const now = performance.now()
        tally.clientLate = Math.max(tally.clientLate, now - tickedAt - 1)
        tickedAt = now
        // Exponential gaps: arrivals do not wait for each other (Poisson).
        while (dueAt <= Math.min(now, endsAt)) {
          send(pick(paths), tally, phaseStart, pick(priorities))
          dueAt -= (Math.log(1 - Math.random()) / phase.rate) * 1_000
        }
        if (now >= probeAt) {
          probe(tally)
          probeAt += 100
        }
        if (now >= stallAt) {
          stallAt = Number.POSITIVE_INFINITY
          send('/stall', tally, phaseStart, 'critical')
        }
        if (now < endsAt) return
        clearInterval(ticks)
        resolve()
      }, 1)
    })
    phaseStart = endsAt
  }
  await new Promise((resolve) => setTimeout(resolve, giveUpMs + 200))
  return tallies.map((tally) => tally.report())
}

/** Requests a second that are answered when so many clients wait for each answer. */
async function measureCapacity(port: number, { phases, paths, clients = 1 }: Plan): Promise<number> {
  const seconds = phases[0]?.seconds ?? 1
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  // The first second is for the compiler.
  const countFrom = performance.now() + 1_000
  const endsAt = countFrom + seconds * 1_000
  let count = 0
  const ask = async () => {
    while (performance.now() < endsAt) {
      await new Promise<void>((resolve, reject) => {
        get({ port, host: '127.0.0.1', path: pick(paths), agent }, (response) => {
          response.resume().on('end', resolve)
        }).on('error', reject)
      })
      const now = performance.now()
      if (now >= countFrom && now < endsAt) count++
    }
  }
  await Promise.all(Array.from({ length: clients }, ask))
  return count / seconds
}

const plan = JSON.parse(process.argv[3] as string) as Plan
const port = Number(process.argv[2])
process.send?.(await (plan.clients === undefined ? run(port, plan) : measureCapacity(port, plan)))
process.exit()
