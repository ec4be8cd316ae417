import { PerformanceMonitor } from 'posthaste'
import { expect, it, onTestFinished, vi } from 'vitest'
import { WallClock } from '../../src/monitor/wall-clock.ts'
import { systemClock } from '../../src/shared/time/clock.ts'

const hour = 3_600_000

/** Moves the system's time, as a suspend does, and as setting it does: the monotonic clock does not notice. */
function movableTime() {
  const now = Date.now.bind(Date)
  let shift = 0
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => now() + shift)
  onTestFinished(() => spy.mockRestore())
  return (ms: number) => {
    shift += ms
  }
}

it.each([8 * hour, -2 * hour])('has right timestamps everywhere after the time has moved by %i ms', async (ms) => {
  const move = movableTime()
  const monitor = new PerformanceMonitor({
    sampleInterval: false,
    slow: { threshold: '0ms' },
    alerts: { responseTime: { threshold: '0ms', for: '0s', minSamples: 1 } },
  })
  onTestFinished(() => monitor.close())
  const record = (route: string) => monitor.record('GET', route, 200, monitor.start() - 50)
  record('/before')
  monitor.snapshot()
  const before = Date.now()
  move(ms)
  await monitor.sample()
  record('/after')
  monitor.check('one', () => {})
  const { checks } = await monitor.health()
  const { endpoints, slow, generatedAt, uptimeMs, alerts } = monitor.snapshot()
  const error = (text: string | null | undefined, time: number) => Math.abs(Date.parse(text ?? '') - time)
  const endpoint = (route: string) => endpoints.find((row) => row.route === route)
  for (const text of [generatedAt, endpoint('/after')?.lastSeen, slow[0]?.at, checks.one?.time, alerts.at(-1)?.since]) {
    expect(error(text, Date.now())).toBeLessThan(2_000)
  }
  for (const text of [endpoint('/before')?.lastSeen, slow[1]?.at]) expect(error(text, before)).toBeLessThan(2_000)
  expect(uptimeMs).toBeLessThan(10_000)
})

it('remembers how the time was before each of many moves', () => {
  const move = movableTime()
  const wall = new WallClock(systemClock)
  const seen: [reading: number, time: number][] = []
  for (let index = 0; index < 20; index++) {
    move(index % 2 === 0 ? hour : -3 * hour)
    wall.compare()
    seen.push([systemClock(), Date.now()])
    // The next move is known to be after this reading only if the clocks are compared in between.
    while (systemClock() <= seen.at(-1)![0]);
    wall.compare()
  }
  for (const [reading, time] of seen) expect(Math.abs(wall.at(reading) - time)).toBeLessThan(1_000)
})

it('is the clock of the user, if there is one', () => {
  const wall = new WallClock(() => 5)
  expect(wall.isoOf(1_000)).toBe('1970-01-01T00:00:01.000Z')
})
