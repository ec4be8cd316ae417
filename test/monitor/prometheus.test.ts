import { spawnSync } from 'node:child_process'
import { PerformanceMonitor, type PrometheusOptions } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { findBinary } from '../support/servers.ts'

const promtool = findBinary('promtool')
if (promtool === undefined) {
  if (process.env.REQUIRE_SERVICES === '1') throw new Error('REQUIRE_SERVICES=1, and there is no promtool')
  console.warn("\n  SKIPPED: promtool is not installed (Debian's package `prometheus`).\n")
}

describe('metrics', () => {
  it('count exactly how many requests were within each bound', async () => {
    const { monitor, request } = recorder()
    for (const ms of [0.001, 5, 5.001, 10, 99.999, 100, 10_000, 10_000.001]) request('/x', 200, ms)
    const text = await expose(monitor)
    const buckets = [...text.matchAll(/^http_server_request_duration_seconds_bucket\{.*le="(.*)"\} (\d+)$/gm)]
    expect(Object.fromEntries(buckets.map(([, le, count]) => [le, Number(count)]))).toMatchObject({
      '0.005': 2,
      '0.01': 4,
      '0.075': 4,
      '0.1': 6,
      '7.5': 6,
      '10.0': 7,
      '+Inf': 8,
    })
    expect(text).toMatch(
      /_sum\{http_request_method="GET",http_route="\/x",http_response_status_code="200"\} 20\.220002\n/,
    )
    expect(text).toMatch(/_count\{.*\} 8\n/)
  })

  it('run since the start, whatever the window has forgotten', async () => {
    const { monitor, request, clock } = recorder()
    request('/x', 200, 1)
    clock.now += 3_600_000
    expect(await expose(monitor)).toMatch(/http_server_request_duration_seconds_count\{.*\} 1\n/)
  })

  it('have the names that dashboards for Node know, if asked', async () => {
    const { monitor, request } = recorder()
    request('/x', 201, 1)
    monitor.start()
    const text = await expose(monitor, { naming: 'classic' })
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/x",status_code="201"} 1\n')
    expect(text).toContain('http_requests_in_flight 1\n')
    expect(() => monitor.prometheus({ naming: 'mine' as 'otel' })).toThrow(/Expected `naming` to be one of/)
  })

  it('escape what labels hold', async () => {
    const { monitor, request } = recorder()
    request('/a"b\\c\nd', 200, 1)
    expect(await expose(monitor)).toContain('http_route="/a\\"b\\\\c\\nd"')
  })

  it('tell requests that ended otherwise, timings, caches and alerts', async () => {
    const { monitor, request, clock } = recorder()
    request('/x', 200, 900)
    monitor.record('GET', '/x', 499, clock.now - 2_500, 'aborted')
    monitor.recordTiming('db.query', 30)
    const text = await expose(monitor)
    expect(text).toContain(
      '_ended_otherwise_seconds_sum{http_request_method="GET",http_route="/x",outcome="aborted"} 2.5\n',
    )
    expect(text).toContain('posthaste_timing_duration_seconds_bucket{name="db.query",le="0.05"} 1\n')
    expect(text).toContain('posthaste_cache_requests_total{cache="main",result="hit"} 7\n')
    expect(text).toContain('posthaste_alert_state{alert="response_time",target="GET /x"} 2\n')
    expect(text).toContain('process_cpu_limit_cores ')
  })

  it('end with # EOF in OpenMetrics only', async () => {
    const { monitor } = recorder()
    expect(await expose(monitor, { openMetrics: true })).toMatch(/\n# EOF\n$/)
    expect(await expose(monitor)).not.toContain('# EOF')
  })

  it('come in many pieces, with turns of the event loop between them, when there are hundreds of endpoints', async () => {
    const { monitor, request } = recorder()
    for (let number = 0; number < 500; number++) for (const status of [200, 404, 500]) request(`/${number}`, status, 1)
    let turns = 0
    const count = () => {
      turns++
      timer = setImmediate(count)
    }
    let timer = setImmediate(count)
    const pieces: string[] = []
    for await (const piece of monitor.prometheus()) pieces.push(piece)
    clearImmediate(timer)
    expect(pieces.length).toBeGreaterThan(5)
    expect(turns).toBeGreaterThan(3)
  })

  describe.skipIf(promtool === undefined)('are accepted by promtool', () => {
    it.each<PrometheusOptions>([
      { openMetrics: false, naming: 'otel' },
      { openMetrics: false, naming: 'classic' },
      { openMetrics: true, naming: 'otel' },
      { openMetrics: true, naming: 'classic' },
    ])('%o', async (options) => {
      const { monitor, request, clock } = recorder()
      for (let count = 0; count < 30; count++) request(`/"${count}\\`, 200 + count, count * 50)
      monitor.record('GET', '/x', 200, clock.now - 5, 'stream')
      monitor.recordTiming('db', 1)
      await monitor.sample()
      const input = await expose(monitor, options)
      const { status, stdout, stderr } = spawnSync(promtool!, ['check', 'metrics'], { input, encoding: 'utf8' })
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
    })
  })
})

function recorder() {
  const clock = { now: 10_000_000 }
  const stats = () => ({ hits: 7, misses: 1, errors: 0, hitRate: 0, errorRate: 0, store: { state: 'up' } })
  const monitor = new PerformanceMonitor({
    service: 'crm',
    sampleInterval: false,
    clock: () => clock.now,
    caches: { main: { stats } },
    alerts: { responseTime: { threshold: '500ms', for: '0s', minSamples: 1 } },
  })
  const request = (route: string, status: number, ms: number) => monitor.record('GET', route, status, clock.now - ms)
  return { monitor, request, clock }
}

async function expose(monitor: PerformanceMonitor, options?: PrometheusOptions): Promise<string> {
  let text = ''
  for await (const piece of monitor.prometheus(options)) text += piece
  return text
}
