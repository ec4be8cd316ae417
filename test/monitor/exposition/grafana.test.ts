import { readFileSync } from 'node:fs'
import { PerformanceMonitor } from 'posthaste'
import { describe, expect, it } from 'vitest'

interface Panel {
  readonly id: number
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly { readonly expr: string }[]
}

const { panels } = JSON.parse(readFileSync(new URL('../../../docs/grafana.json', import.meta.url), 'utf8')) as {
  panels: readonly Panel[]
}

describe('the Grafana dashboard', () => {
  it('asks for nothing but metrics and labels that are exposed', async () => {
    const { series, labels } = await exposed()
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        const names = expr.match(/\b[a-z0-9_]+(?=\{)/g) ?? []
        expect(names, title).not.toEqual([])
        for (const name of names) expect([...series], `${title}: ${expr}`).toContain(name)
        const asked = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', '))
        for (const label of asked) expect([...labels, 'instance'], `${title}: ${expr}`).toContain(label)
      }
    }
  })

  it('has a place for each panel, of its own', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const places = panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)
    expect(new Set(places).size).toBe(panels.length)
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true)
  })
})

/** The names of all series and labels of a monitor that has something to say about everything. */
async function exposed(): Promise<{ readonly series: ReadonlySet<string>; readonly labels: ReadonlySet<string> }> {
  const cache = { hits: 1, misses: 1, errors: 1, hitRate: 0.5, errorRate: 0.3, store: { state: 'up' } }
  await using monitor = new PerformanceMonitor({
    sampleInterval: '10ms',
    caches: { main: { stats: () => cache } },
    alerts: { memory: { threshold: 0, for: '0s' } },
  })
  monitor.record('GET', '/users/:id', 200, monitor.start())
  monitor.record('GET', '/users/:id', 499, monitor.start(), 'aborted')
  monitor.recordTiming('rates.fetch', 5)
  await expect.poll(() => monitor.alerts().length).toBeGreaterThan(0)
  await expect.poll(() => monitor.system().cpuPercent).not.toBeNull()
  await expect.poll(() => monitor.system().disk.length).toBeGreaterThan(0)
  const text = (await Array.fromAsync(monitor.prometheus())).join('')
  // The throttled share is only there where there is a quota.
  const series = new Set([...(text.match(/^[a-z0-9_]+/gm) ?? []), 'process_cpu_throttled_ratio'])
  const labels = new Set([...text.matchAll(/[{,]([a-z_]+)="/g)].map(([, label = '']) => label))
  return { series, labels }
}
