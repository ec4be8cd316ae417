import { describe, expect, it } from 'vitest'
import { quantile, type SimulatedLoop, type SimulatedRequest, simulateLoad, type Work } from './simulated-server.ts'

// The same by default, so that a run can be repeated; `SEED=` tries others.
const seed = Number(process.env.SEED ?? 1)
const runs = Math.max(1, Math.round(Number(process.env.RUNS ?? 60) / 20))
const seeds = Array.from({ length: runs }, (_, run) => seed + run)

/** 4 ms of the loop at once, and a timer: about 240 a second. */
const atOnce: Work = (loop, done) => {
  loop.burn(4)
  loop.after(3, done)
}
/** The same work after a wait. */
const later: Work = (loop, done) => {
  loop.after(3, () => {
    loop.burn(4)
    done()
  })
}
const capacity = 1_000 / 4.15

/** Three times as long at first, as handlers are before they are compiled. */
function cold(): Work {
  let calls = 0
  return (loop, done) => {
    loop.burn(4 * (1 + 2 / (1 + calls++ / 5)))
    loop.after(3, done)
  }
}

/** Answers at once, after so much work. */
function burning(ms: number): Work {
  return (loop, done) => {
    loop.burn(ms)
    done()
  }
}

function afterTurn(ms: number): Work {
  return (loop, done) => {
    loop.clocks.defer(() => {
      loop.burn(ms)
      done()
    })
  }
}

function afterTimer(ms: number): Work {
  return (loop, done) => {
    loop.after(3, () => {
      loop.burn(ms)
      done()
    })
  }
}

function database(): Work {
  let free = 8
  const waiting: (() => void)[] = []
  return (loop, done) => {
    const run = () =>
      loop.after(40, () => {
        const next = waiting.shift()
        if (next === undefined) free++
        else next()
        done()
      })
    if (free > 0) {
      free--
      run()
    } else waiting.push(run)
  }
}

interface Share {
  readonly good: number
  readonly refused: number
  readonly lost: number
  readonly p99: number
  readonly refusedP99: number
}

function shareOf(requests: readonly SimulatedRequest[], from = 1_000, perSecond = capacity): Share {
  const sent = requests.filter(({ sentAt }) => sentAt >= from)
  const seconds = ((sent.at(-1)?.sentAt ?? 0) - (sent[0]?.sentAt ?? 0)) / 1_000
  const accepted = sent.filter(({ status }) => status === 200).map(({ ms }) => ms)
  const refused = sent.filter(({ status }) => status === 503).map(({ ms }) => ms)
  return {
    good: accepted.filter((ms) => ms <= 300).length / seconds / perSecond,
    refused: refused.length,
    lost: sent.filter(({ status }) => status === 0).length / sent.length,
    p99: quantile(accepted, 0.99),
    refusedP99: quantile(refused, 0.99),
  }
}

const stall = (at: number) => (loop: SimulatedLoop) => loop.readAt(at, () => loop.burn(300))

const timeout = 20_000 * runs

describe(`a server with more requests than it can serve (SEED=${seed})`, { timeout }, () => {
  it.each([
    [2, 0.9, false],
    [4, 0.85, false],
    [2, 0.9, true],
    [4, 0.85, true],
  ])(
    'at %d times its capacity serves %d of it in time (a connection for each request: %s)',
    (load, least, isReconnecting) => {
      for (const seed of seeds) {
        const { requests, healthMs } = simulateLoad({
          phases: [[capacity * load, 6]],
          work: () => atOnce,
          seed,
          isReconnecting,
        })
        const all = shareOf(requests)
        expect(all.good).toBeGreaterThan(least)
        expect(all.lost).toBeLessThan(0.01)
        expect(all.p99).toBeLessThan(250)
        expect(shareOf(requests, 1_500).p99).toBeLessThan(200)
        expect(all.refusedP99).toBeLessThan(200)
        expect(all.refused).toBeGreaterThan(100)
        expect(Math.max(...healthMs)).toBeLessThan(200)
      }
    },
  )

  it.each([
    [3, 0.12],
    [4, 0.12],
    // Reading is cold too.
    [4, 0.5],
  ])('notices at once when a process starts with %d times its capacity (%d ms to read one)', (load, parseMs) => {
    for (const seed of seeds) {
      const work = cold()
      const { requests } = simulateLoad({ phases: [[capacity * load, 1]], work: () => work, seed, parseMs })
      const answered = requests.filter(({ status }) => status !== 0).map(({ ms }) => ms)
      expect(answered.length).toBe(requests.length)
      expect(quantile(answered, 0.99)).toBeLessThan(300)
    }
  })

  it('takes the start of the process for no cost of its first request', () => {
    const also = (loop: SimulatedLoop, arrive: (at: number) => void) => {
      loop.burn(1_000)
      arrive(loop.now + 100)
      for (let i = 0; i < 12; i++) arrive(loop.now + 300)
    }
    const { requests } = simulateLoad({ phases: [], work: () => atOnce, seed: 1, also })
    expect(requests.filter(({ status }) => status !== 200)).toEqual([])
  })

  it('serves what comes after an await, though less of it', () => {
    for (const seed of seeds) {
      const { requests, healthMs } = simulateLoad({ phases: [[capacity * 2, 6]], work: () => later, seed })
      const all = shareOf(requests)
      expect(all.good).toBeGreaterThan(0.65)
      expect(all.lost).toBeLessThan(0.01)
      expect(Math.max(...healthMs)).toBeLessThan(500)
    }
  })

  it.each([2, 4])('keeps a full database useful at %d times its capacity', (load) => {
    // With the last four, the latency of the queue was once taken for the database's own.
    for (const seed of [...seeds, 533, 1118, 1573, 1833]) {
      const work = database()
      const { requests, guard } = simulateLoad({
        phases: [[200 * load, 6]],
        work: () => work,
        seed,
        urlOf: () => '/list',
      })
      const settled = shareOf(requests, 3_000, 200)
      expect(settled.good).toBeGreaterThan(0.85)
      expect(settled.lost).toBeLessThan(0.01)
      expect(guard.read().shedBy.map(({ reason }) => reason)).toEqual(['concurrency'])
    }
  })

  it('does not refuse the routes that are fine because another is slow', () => {
    for (const seed of seeds) {
      const slow = database()
      const { requests } = simulateLoad({
        phases: [[500, 6]],
        work: ({ url }) => (url === '/list' ? slow : burning(0.3)),
        urlOf: (random) => (random() < 0.8 ? '/list' : '/other'),
        seed,
      })
      const refused = requests.filter(({ status }) => status !== 200)
      expect(refused.length).toBeGreaterThan(100)
      expect(refused.filter(({ url }) => url === '/other')).toEqual([])
    }
  })

  it('refuses no critical request, and those of low priority first', () => {
    for (const seed of seeds) {
      const { requests } = simulateLoad({
        phases: [[capacity * 2, 6]],
        work: () => atOnce,
        priorityOf: (random) => {
          const value = random()
          return value < 0.1 ? 'critical' : value < 0.4 ? 'low' : 'normal'
        },
        seed,
      })
      const servedOf = (priority: string) => {
        const sent = requests.filter((request) => request.priority === priority && request.sentAt > 1_500)
        return sent.filter(({ status, ms }) => status === 200 && ms <= 300).length / sent.length
      }
      expect(servedOf('critical')).toBe(1)
      expect(servedOf('normal')).toBeGreaterThan(servedOf('low') + 0.3)
      expect(requests.filter(({ status }) => status === 0).length).toBeLessThan(requests.length / 100)
    }
  })

  it('still serves some when refusing takes most of the time', () => {
    for (const seed of seeds) {
      const { requests } = simulateLoad({ phases: [[500, 6]], work: () => atOnce, parseMs: 1.6, seed })
      expect(shareOf(requests, 2_000, 1).good).toBeGreaterThan(20)
    }
  })

  const phases = { 'as it is read': burning, 'in a later phase of the loop': afterTurn, 'after a wait': afterTimer }
  it.each(Object.entries(phases).flatMap(([phase, workOf]) => [1, 4, 20].map((ms) => [ms, phase, workOf] as const)))(
    'keeps serving when 500 clients come back as soon as they are refused: %d ms of work, %s',
    (ms, _, workOf) => {
      for (const seed of seeds) {
        const { requests, healthMs } = simulateLoad({ phases: [[0, 5]], clients: 500, work: () => workOf(ms), seed })
        const { good, lost } = shareOf(requests, 2_000 + 1_000, 1_000 / (ms + 0.15))
        expect(good).toBeGreaterThan(0.35)
        expect(lost).toBe(0)
        expect(Math.max(...healthMs)).toBeLessThan(600)
        expect(Math.max(...healthMs.slice(20))).toBeLessThan(250)
      }
    },
  )

  it('drops requests whose client has left before their turn', () => {
    const { requests } = simulateLoad({
      phases: [[capacity * 3, 3]],
      work: () => atOnce,
      priorityOf: () => 'critical',
      seed,
    })
    const left = requests.filter(({ status }) => status === 0)
    expect(left.length).toBeGreaterThan(100)
    expect(left.filter(({ hasRun }) => hasRun).length).toBeLessThan(left.length / 2)
    expect(new Set(left.map(({ outcome }) => outcome))).toEqual(new Set(['aborted']))
  })
})

describe(`a server that can serve what comes (SEED=${seed})`, { timeout }, () => {
  it.each([
    ['work at once', () => atOnce, capacity, 0],
    // What a request costs shows only after its `await`: of some 9,000 requests a few are refused.
    ['work after an await', () => later, capacity, 10],
    ['a database', database, 200, 0],
  ])('refuses next to nothing at seven tenths of its capacity for a minute: %s', (_name, make, full, most) => {
    for (const seed of seeds) {
      const work = make()
      const { requests } = simulateLoad({ phases: [[full * 0.7, 60]], work: () => work, seed })
      expect(requests.filter(({ status }) => status !== 200).length).toBeLessThanOrEqual(most)
    }
  })

  it('refuses nothing after a single stall', () => {
    for (const run of Array.from({ length: runs * 10 }, (_, run) => run)) {
      const { requests } = simulateLoad({
        phases: [[capacity * 0.6, 5]],
        work: () => atOnce,
        seed: seed + run,
        isReconnecting: run % 2 === 1,
        also: stall(2_000 + 100 * run),
      })
      expect(requests.filter(({ status }) => status !== 200)).toEqual([])
    }
  })

  it('refuses nothing while its code is cold', () => {
    for (const seed of seeds) {
      const work = cold()
      const { requests } = simulateLoad({ phases: [[capacity * 0.5, 5]], work: () => work, seed })
      expect(requests.filter(({ status }) => status !== 200)).toEqual([])
    }
  })

  it('refuses nothing when a dependency becomes slower, but is not full', () => {
    for (const seed of seeds) {
      const { requests } = simulateLoad({
        phases: [[90, 10]],
        work: () => (loop, done) => loop.after(loop.now < 5_000 ? 40 : 80, done),
        seed,
      })
      const refused = requests.filter(({ status }) => status !== 200)
      // For a moment, nobody can tell.
      expect(refused.length).toBeLessThan(45)
      expect(refused.filter(({ sentAt }) => sentAt > 7_000)).toEqual([])
    }
  })

  it('is as before within a second after the load has fallen', () => {
    for (const seed of seeds) {
      const { requests } = simulateLoad({
        phases: [
          [capacity * 4, 4],
          [capacity * 0.4, 4],
        ],
        work: () => atOnce,
        seed,
      })
      const after = requests.filter(({ sentAt }) => sentAt > 6_000)
      expect(after.filter(({ status }) => status !== 200)).toEqual([])
      expect(
        quantile(
          after.map(({ ms }) => ms),
          0.5,
        ),
      ).toBeLessThan(15)
    }
  })

  it('starts handlers at once while the loop keeps up', () => {
    const { requests } = simulateLoad({
      phases: [[20, 10]],
      work: () => burning(0.5),
      seed,
    })
    expect(Math.max(...requests.map(({ ms }) => ms))).toBeLessThan(5)
  })
})
