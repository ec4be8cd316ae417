import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { PerformanceMonitor } from 'posthaste'
import { monitorRequests, performanceRoutes } from 'posthaste/express'
import { expect, it, onTestFinished } from 'vitest'
import { prefersOpenMetrics } from '../../../src/http/performance/negotiate-metrics.ts'
import { findBinary } from '../../support/servers.ts'

/** As the scrapers send them. */
const openMetricsScrapers = {
  'Prometheus 2.42':
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
  'Prometheus 2.54, native histograms':
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
  'Prometheus 3.0':
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
  'Prometheus 3.4, underscores':
    'application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=underscores;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
  'a client that names it alone': 'application/openmetrics-text',
  'a client with odd spaces and quotes':
    ' Application/OpenMetrics-Text ; version="1.0.0" ; charset=utf-8 , text/plain ; q=0.9 ',
}

const textClients = {
  nobody: undefined,
  'Prometheus 2.4': 'text/plain;version=0.0.4;q=1,*/*;q=0.1',
  'a scraper that knows the first draft only':
    'application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5',
  'a browser': 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  curl: '*/*',
  'a client that refuses it': 'application/openmetrics-text;q=0, */*',
  'a client that prefers text': 'text/plain, application/openmetrics-text;q=0.9',
  'a client with a wrong quality': 'application/openmetrics-text;q=much, text/plain;q=0.1',
  nonsense: ';;,=;q=,',
}

it.each(Object.entries(openMetricsScrapers))('gives OpenMetrics to %s', (_name, accept) => {
  expect(prefersOpenMetrics(accept)).toBe(true)
})

it.each(Object.entries(textClients))('gives text 0.0.4 to %s', (_name, accept) => {
  expect(prefersOpenMetrics(accept)).toBe(false)
})

const binary = findBinary('prometheus')

it.skipIf(binary === undefined)(
  'is read by a real Prometheus as OpenMetrics, with the type of every family',
  async () => {
    const monitor = new PerformanceMonitor({
      sampleInterval: false,
      caches: {
        main: { stats: () => ({ hits: 7, misses: 1, errors: 0, hitRate: 0, errorRate: 0, store: { state: 'up' } }) },
      },
    })
    const app = express()
    const contentTypes: unknown[] = []
    app.use((_request, response, next) => {
      response.on('finish', () => contentTypes.push(response.getHeader('content-type')))
      next()
    })
    app.use(monitorRequests(monitor))
    app.use(performanceRoutes(monitor, { authorize: 'public', naming: 'classic' }))
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    monitor.record('GET', '/users/:id', 200, monitor.start())
    const own = await freePort()
    const folder = mkdtempSync(join(tmpdir(), 'prometheus-'))
    writeFileSync(
      join(folder, 'prometheus.yml'),
      `scrape_configs:\n  - job_name: crm\n    scrape_interval: 1s\n    metrics_path: /performance/metrics\n    static_configs: [{ targets: ['127.0.0.1:${port}'] }]\n`,
    )
    const prometheus = spawn(
      binary!,
      [
        `--config.file=${folder}/prometheus.yml`,
        `--storage.tsdb.path=${folder}/data`,
        `--web.listen-address=127.0.0.1:${own}`,
      ],
      { stdio: 'ignore' },
    )
    const exited = once(prometheus, 'exit')
    onTestFinished(async () => {
      prometheus.kill('SIGKILL')
      await exited
      rmSync(folder, { recursive: true, force: true })
      server.closeAllConnections()
      server.close()
      await monitor.close()
    })
    const ask = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${own}/api/v1/${path}`).catch(() => undefined)
      return response?.ok ? ((await response.json()) as { data: never }).data : undefined
    }
    type Metadata = Record<string, readonly { type: string }[]> | undefined
    await expect.poll(async () => Object.keys(((await ask('metadata')) as Metadata) ?? {}).length).toBeGreaterThan(20)
    const metadata = (await ask('metadata')) as unknown as NonNullable<Metadata>
    const typeOf = (name: string) => metadata[name]?.[0]?.type
    expect(typeOf('posthaste_cache_requests')).toBe('counter')
    expect(typeOf('process_cpu_seconds')).toBe('counter')
    expect(typeOf('http_request_duration_seconds')).toBe('histogram')
    expect(Object.entries(metadata).filter(([, [first]]) => first?.type === 'unknown')).toEqual([])
    type Targets = { activeTargets: readonly { health: string; lastError: string }[] } | undefined
    const targets = (await ask('targets')) as Targets
    expect(targets?.activeTargets[0]).toMatchObject({ health: 'up', lastError: '' })
    expect(contentTypes[0]).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  },
)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
