import { afterEach, describe, expect, it } from 'vitest'
import { StallTracker } from '../../../src/monitor/stalls/stall-tracker.ts'

let tracker: StallTracker | undefined

afterEach(() => tracker?.close())

describe('waits', () => {
  it('of requests read right after a long turn are shares of it, in order of arrival', () => {
    const loop = eventLoop()
    loop.turn(() => {
      loop.start()
      loop.busy(100)
    })
    const stamps = loop.turn(() => [loop.start(), loop.start(), loop.start(), loop.start()])
    loop.settle()
    expect(stamps.map((stamp) => loop.waitOf(stamp))).toEqual([87.5, 62.5, 37.5, 12.5])
  })

  it('are none when the loop was idle in between: nobody was there yet', () => {
    const loop = eventLoop()
    loop.turn(() => {
      loop.start()
      loop.busy(100)
    })
    loop.idle(0.2)
    const stamp = loop.turn(() => loop.start())
    loop.settle()
    expect(loop.waitOf(stamp)).toBe(0)
  })

  it('behind others of the same turn count from its beginning', () => {
    const loop = eventLoop()
    const [first, second, third] = loop.turn(() => {
      const stamps = [loop.start()]
      loop.busy(30)
      stamps.push(loop.start())
      loop.busy(5)
      stamps.push(loop.start())
      return stamps
    })
    expect([first, second, third].map((stamp) => loop.waitOf(stamp!))).toEqual([0, 30, 35])
  })

  it('are known to requests that ended before all who waited were read', () => {
    const loop = eventLoop()
    loop.turn(() => {
      loop.start()
      loop.busy(40)
    })
    const waited: number[] = []
    const tracker = loop.tracker
    loop.turn(() => {
      const stamp = loop.start()
      tracker.onWait(tracker.take(stamp), (ms) => waited.push(ms))
    })
    expect(waited).toEqual([])
    loop.turn(() => loop.start())
    loop.settle()
    expect(waited).toEqual([40 * (1 - 0.5 / 2)])
  })

  it('are shares of the stall also when each turn reads one of hundreds, as it does of new connections', () => {
    const loop = eventLoop()
    loop.turn(() => {
      loop.start()
      loop.busy(400)
    })
    const stamps = Array.from({ length: 200 }, () => loop.turn(() => loop.start()))
    loop.settle()
    expect([0, 99, 199].map((place) => Math.round(loop.waitOf(stamps[place]!)))).toEqual([399, 201, 1])
  })

  it('end when a server that is always busy has had time to catch up', () => {
    const loop = eventLoop()
    loop.turn(() => {
      loop.start()
      loop.busy(20)
    })
    const stamps = Array.from({ length: 40 }, () =>
      loop.turn(() => {
        loop.busy(4)
        return loop.start()
      }),
    )
    loop.settle()
    expect(stamps.map((stamp) => loop.waitOf(stamp)).filter((ms) => ms > 0)).toHaveLength(21)
  })

  it('belong to one request: a stamp that is used again has none', () => {
    const loop = eventLoop()
    const stamp = loop.turn(() => {
      loop.start()
      loop.busy(30)
      return loop.start()
    })
    expect([loop.waitOf(stamp), loop.waitOf(stamp)]).toEqual([30, 0])
  })

  it('are those of a loop that was blocked by something else than a request', () => {
    const loop = eventLoop()
    loop.turn(() => loop.start())
    loop.idle(30)
    loop.busy(130)
    const stamps = loop.turn(() => [loop.start(), loop.start()])
    loop.settle()
    expect(stamps.map((stamp) => loop.waitOf(stamp))).toEqual([97.5, 32.5])
  })

  it('are not told when thousands waited behind the request', () => {
    const loop = eventLoop()
    loop.turn(() => {
      loop.start()
      loop.busy(50)
    })
    const waited: string[] = []
    loop.turn(() => {
      loop.tracker.onWait(loop.tracker.take(loop.start()), () => waited.push('first'))
      const [second] = Array.from({ length: 4_096 }, () => loop.start())
      loop.tracker.onWait(loop.tracker.take(second!), () => waited.push('second'))
    })
    loop.settle()
    expect(waited).toEqual(['second'])
  })

  it('are forgotten for all but the latest few thousand', () => {
    const loop = eventLoop()
    const stamps = loop.turn(() => {
      loop.start()
      loop.busy(20)
      return Array.from({ length: 5_000 }, () => loop.start())
    })
    expect(loop.waitOf(stamps[0]!)).toBe(0)
    expect(loop.waitOf(stamps[903]!)).toBe(0)
    expect(loop.waitOf(stamps[904]!)).toBe(20)
    expect(loop.waitOf(stamps[4_999]!)).toBe(20)
  })
})

describe('holds', () => {
  it('are the time until another request or the end of the turn, when it is a millisecond or more', () => {
    const loop = eventLoop()
    const [long, short, last] = loop.turn(() => {
      const long = loop.start()
      loop.busy(8)
      const short = loop.start()
      loop.busy(0.5)
      const last = loop.start()
      loop.busy(3)
      return [long, short, last]
    })
    expect([long, short, last].map((stamp) => loop.holdOf(stamp!))).toEqual([8, 0, 3])
  })

  it('are known at once when the request ends in its own turn', () => {
    const loop = eventLoop()
    loop.turn(() => {
      const stamp = loop.start()
      loop.busy(12)
      expect(loop.tracker.running).toBe(stamp)
      expect(loop.tracker.endRunning()).toBe(12)
      loop.busy(7)
    })
    loop.settle()
    expect(loop.tracker.newest).toBe(-Infinity)
  })
})

/** An event loop by hand: time moves when it is busy or idle, and deferred work runs at the end of a turn. */
function eventLoop() {
  let now = 1_000
  let idle = 0
  let stamps = 0
  let deferred: Array<() => void> = []
  tracker = new StallTracker({
    // Stamps that tell requests of the same moment apart.
    stamp: () => now + ++stamps / 1e6,
    time: () => now,
    idle: () => idle,
    defer: (run) => deferred.push(run),
  })
  const used = tracker
  const loop = {
    tracker: used,
    start: () => used.start(),
    busy: (ms: number) => {
      now += ms
    },
    idle: (ms: number) => {
      now += ms
      idle += ms
    },
    turn<Result>(run: () => Result): Result {
      const result = run()
      const ending = deferred
      deferred = []
      for (const end of ending) end()
      return result
    },
    settle() {
      while (deferred.length > 0) loop.turn(() => {})
    },
    waitOf(stamp: number) {
      let waited = 0
      const note = used.take(stamp)
      if (note >= 0) used.onWait(note, (ms) => (waited = ms))
      return waited
    },
    holdOf(stamp: number) {
      const note = used.take(stamp)
      return note < 0 ? 0 : used.holdOf(note)
    },
  }
  return loop
}
