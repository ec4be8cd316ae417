import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { type MonitorOptions, PerformanceMonitor, type PrometheusOptions } from 'posthaste'
import { performanceRoutes } from 'posthaste/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { collectGarbage } from '../../support/collect-garbage.ts'
import { findBinary } from '../../support/servers.ts'

const promtool = findBinary('promtool')
const prometheus = findBinary('prometheus')
if (promtool === undefined || prometheus === undefined) {
  if (process.env.REQUIRE_SERVICES === '1') throw new Error('REQUIRE_SERVICES=1, and there is no prometheus')
  console.warn("\n  SKIPPED: promtool and prometheus are not installed (Debian's package `prometheus`).\n")
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

  it('have no series twice for names that are the same in UTF-8', async () => {
    const { monitor, request } = recorder()
    const long = 'x'.repeat(999)
    for (const name of [`${long}😀`, `${long}🌍`, '\ud800', '\udc00']) {
      request(name, 200, 1)
      monitor.recordTiming(name, 1)
    }
    const series = [...(await expose(monitor)).matchAll(/^.*(?:_count|_bucket)\{.*\}/gm)].map(([line]) =>
      Buffer.from(line).toString(),
    )
    expect(series.length).toBeGreaterThan(50)
    expect(new Set(series).size).toBe(series.length)
    expect(JSON.stringify(monitor.snapshot())).not.toMatch(/\\ud[89a-f]/)
    expect(monitor.endpoint('GET', `${long}😀`)?.total).toBe(2)
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

  it('have a type for every family, of the name that OpenMetrics wants', async () => {
    const { monitor, request } = recorder()
    request('/x', 200, 1)
    monitor.recordTiming('db', 1)
    for (const openMetrics of [true, false]) {
      const text = await expose(monitor, { openMetrics })
      const types = new Map(
        [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name, type]) => [name as string, type as string]),
      )
      const suffixes: Record<string, readonly string[]> = {
        counter: openMetrics ? ['_total', '_created'] : [''],
        info: ['_info'],
        gauge: [''],
        histogram: ['_bucket', '_sum', '_count', ...(openMetrics ? ['_created'] : [])],
        summary: ['_sum', '_count', ...(openMetrics ? ['_created'] : [])],
      }
      const allowed = new Set([...types].flatMap(([name, type]) => suffixes[type]!.map((suffix) => name + suffix)))
      const names = [...text.matchAll(/^([a-zA-Z_]\w*)[{ ]/gm)].map(([, name]) => name as string)
      expect(names.filter((name) => !allowed.has(name))).toEqual([])
      expect(names.length).toBeGreaterThan(40)
    }
  })

  it('have the buckets that the option names', async () => {
    const { monitor, request } = recorder({ buckets: ['1ms', '2.5ms', '60s'] })
    for (const ms of [0.5, 1, 2, 100, 60_001]) request('/x', 200, ms)
    const text = await expose(monitor)
    const buckets = [...text.matchAll(/^http_server_request_duration_seconds_bucket\{.*le="(.*)"\} (\d+)$/gm)]
    expect(buckets.map(([, le, count]) => [le, Number(count)])).toEqual([
      ['0.001', 2],
      ['0.0025', 3],
      ['60.0', 4],
      ['+Inf', 5],
    ])
    expect(monitor.bucketBounds).toEqual([0.001, 0.0025, 60])
    expect(() => recorder({ buckets: ['2s', '1s'] })).toThrow(/Expected `buckets` to ascend, got 1s after 2s/)
    const limits = 'to differ by a microsecond, from 1 µs up to an hour, got '
    expect(() => recorder({ buckets: ['2h', '3h'] })).toThrow(`Expected \`buckets\` ${limits}3h after 2h`)
    expect(() => recorder({ buckets: ['1ms', '1.0001ms'] })).toThrow(`${limits}1.0001ms after 1ms`)
    expect(() => recorder({ buckets: ['1ms', '1ms'] })).toThrow('to ascend, got 1ms after 1ms')
    expect(() => recorder({ buckets: [] })).toThrow(/Expected `buckets` to be a list of durations/)
    expect(() => recorder({ buckets: [1 as never] })).toThrow(/Expected `buckets\[0\]` to be a duration/)
  })

  it('have the standard metrics of a process', async () => {
    const { monitor } = recorder()
    const text = await expose(monitor)
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
    expect(Math.abs(value('process_start_time_seconds') - (Date.now() / 1_000 - process.uptime()))).toBeLessThan(2)
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0)
    expect(value('process_cpu_seconds_total')).toBeCloseTo(
      value('process_cpu_user_seconds_total') + value('process_cpu_system_seconds_total'),
    )
    expect(value('process_open_fds')).toBeGreaterThan(2)
    expect(value('process_max_fds')).toBeGreaterThan(value('process_open_fds'))
    expect(text).toContain(`nodejs_version_info{version="${process.version}"`)
  })

  it('have no part of the time of requests that falls, not by a rounding error either', async () => {
    const { monitor, clock } = recorder()
    const before = new Map<string, number>()
    const fallen: string[] = []
    for (let count = 1; count < 999; count++) {
      // Some waits are longer than the request, by another clock.
      const ms = (count * 37) % 101
      const waited = count % 3 === 0 ? ms / 7 : ms * 1.001
      monitor.record('GET', '/x', 200, clock.now - ms, 'completed', undefined, {
        ms: [waited / 3, waited / 5, waited / 7, waited / 11, waited * (1 - 1 / 3 - 1 / 5 - 1 / 7 - 1 / 11)],
      })
      if (count % 3 === 0) continue
      const text = await expose(monitor)
      for (const [, part = '', value] of text.matchAll(
        /^posthaste_request_part_seconds_total\{.*part="(.*)"\} (.+)$/gm,
      )) {
        if (Number(value) < (before.get(part) ?? 0)) fallen.push(part)
        before.set(part, Number(value))
      }
    }
    expect([...before.keys()]).toEqual(['loop', 'database', 'pool', 'upstream', 'cache', 'rest'])
    expect(fallen).toEqual([])
    const sum = [...before.values()].reduce((total, value) => total + value, 0)
    expect(sum).toBeCloseTo(Number(/_seconds_sum\{.*\} (.+)$/m.exec(await expose(monitor))?.[1]), 6)
  })

  it('say since when the process counts in the first scrape already', async () => {
    vi.resetModules()
    const { processFamilies } = await import('../../../src/monitor/exposition/process-families.ts')
    const counters = [...processFamilies(undefined)].filter(({ type }) => type === 'counter')
    expect(counters.length).toBeGreaterThan(0)
    for (const { created } of counters) expect(created).toBeGreaterThan(1_000_000_000)
  })

  it('have the trace of a slow request as the exemplar of its bucket, in OpenMetrics', async () => {
    const { monitor, clock } = recorder()
    const id = '4bf92f3577b34da6a3ce929d0e0e4736'
    monitor.record('GET', '/x', 200, clock.now - 700, 'completed', `00-${id}-00f067aa0ba902b7-01`)
    monitor.record('GET', '/x', 200, clock.now - 20_000, 'completed', `00-${id}-00f067aa0ba902b7-01`)
    monitor.record('GET', '/x', 200, clock.now - 800, 'completed', 'garbage')
    const lines = (await expose(monitor, { openMetrics: true })).split('\n').filter((line) => line.includes(' # {'))
    expect(lines.map((line) => line.replace(/^.*le=/, 'le='))).toEqual([
      `le="0.75"} 1 # {trace_id="${id}"} 0.7 10000`,
      `le="+Inf"} 3 # {trace_id="${id}"} 20 10000`,
    ])
    expect(await expose(monitor)).not.toContain(id)
  })

  it('show requests that are not answered', async () => {
    const { monitor, clock } = recorder()
    monitor.start({ original: {}, method: 'GET', route: '/hang', isLongLived: false })
    clock.now += 1_500
    const text = await expose(monitor)
    expect(text).toContain('posthaste_requests_unanswered 1\n')
    expect(text).toContain('posthaste_oldest_request_seconds 1.5\n')
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

  it('say in OpenMetrics since when each series counts, and not before', async () => {
    const { monitor, request, clock } = recorder()
    request('/x', 200, 1)
    const since = clock.now / 1_000
    const text = await expose(monitor, { openMetrics: true })
    expect(text).toContain(
      `http_server_request_duration_seconds_created{http_request_method="GET",http_route="/x",http_response_status_code="200"} ${since}\n`,
    )
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
    expect(value('process_cpu_seconds_created')).toBe(value('process_start_time_seconds'))
    expect(await expose(monitor)).not.toContain('_created')
    clock.now += 60_000
    monitor.reset()
    request('/x', 200, 1)
    expect(await expose(monitor, { openMetrics: true })).toContain(`http_response_status_code="200"} ${since + 60}\n`)
  })

  it('count stalls and garbage collections since the same time as requests, also after a reset', async () => {
    const monitor = new PerformanceMonitor({ disk: false })
    onTestFinished(() => monitor.close())
    const collected = new Promise((resolve) => monitor.onGc(resolve))
    await new Promise(setImmediate)
    collectGarbage()
    await collected
    expect(await expose(monitor)).toMatch(/^nodejs_gc_pause_seconds_count [1-9]/m)
    monitor.reset()
    const text = await expose(monitor, { openMetrics: true })
    expect(text).toMatch(/^nodejs_gc_pause_seconds_sum 0\nnodejs_gc_pause_seconds_count 0\n/m)
    expect(text).toMatch(/^nodejs_eventloop_stall_seconds_sum 0\nnodejs_eventloop_stall_seconds_count 0\n/m)
  })

  it.skipIf(prometheus === undefined)(
    'are scraped by a real Prometheus, in OpenMetrics',
    { timeout: 60_000 },
    async () => {
      const { monitor, request } = recorder()
      for (let count = 0; count < 7; count++) request('/scraped', 200, 1)
      const accepted: string[] = []
      const app = express()
      app.use((incoming, _response, next) => {
        accepted.push(incoming.headers.accept ?? '')
        next()
      })
      app.use(performanceRoutes(monitor, { authorize: 'public' }))
      const server = createServer(app).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const target = `127.0.0.1:${(server.address() as AddressInfo).port}`
      const free = createServer().listen(0, '127.0.0.1')
      await once(free, 'listening')
      const { port } = free.address() as AddressInfo
      free.close()
      const folder = mkdtempSync(join(tmpdir(), 'posthaste-prometheus-'))
      const job = `{ job_name: app, metrics_path: /performance/metrics, scrape_interval: 1s, static_configs: [{ targets: ['${target}'] }] }`
      writeFileSync(join(folder, 'prometheus.yml'), `scrape_configs: [${job}]\n`)
      const child = spawn(
        prometheus as string,
        [
          `--config.file=${folder}/prometheus.yml`,
          `--storage.tsdb.path=${folder}/data`,
          `--web.listen-address=127.0.0.1:${port}`,
        ],
        { stdio: 'ignore' },
      )
      onTestFinished(async () => {
        child.kill('SIGKILL')
        await once(child, 'exit')
        server.closeAllConnections()
        server.close()
        rmSync(folder, { recursive: true, force: true })
      })
      const query = async (expression: string) => {
        const response = await fetch(
          `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`,
        ).catch(() => undefined)
        const answer = (await response?.json().catch(() => undefined)) as
          | { data?: { result?: { value: [number, string] }[] } }
          | undefined
        return answer?.data?.result?.[0]?.value[1]
      }
      await expect
        .poll(() => query('http_server_request_duration_seconds_count{http_route="/scraped"}'), { timeout: 50_000 })
        .toBe('7')
      expect(await query('up')).toBe('1')
      expect(accepted[0]).toContain('application/openmetrics-text')
    },
  )

  describe.skipIf(promtool === undefined)('are accepted by promtool', () => {
    it.each<PrometheusOptions>([
      { openMetrics: false, naming: 'otel' },
      { openMetrics: false, naming: 'classic' },
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

function recorder(options: MonitorOptions = {}) {
  const clock = { now: 10_000_000 }
  const stats = () => ({ hits: 7, misses: 1, errors: 0, hitRate: 0, errorRate: 0, store: { state: 'up' } })
  const monitor = new PerformanceMonitor({
    service: 'crm',
    sampleInterval: false,
    clock: () => clock.now,
    caches: { main: { stats } },
    alerts: { responseTime: { threshold: '500ms', for: '0s', minSamples: 1 } },
    ...options,
  })
  const request = (route: string, status: number, ms: number) => monitor.record('GET', route, status, clock.now - ms)
  return { monitor, request, clock }
}

async function expose(monitor: PerformanceMonitor, options?: PrometheusOptions): Promise<string> {
  let text = ''
  for await (const piece of monitor.prometheus(options)) text += piece
  return text
}
