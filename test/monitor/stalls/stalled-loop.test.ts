import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import type { StatsDocument } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'

let server: ChildProcess | undefined

afterEach(() => {
  server?.kill()
})

describe('a stalled event loop, under requests that come whether it is stalled or not', () => {
  it('shows in the corrected percentiles what clients saw, and which endpoint blocks it', async () => {
    const { client, stats } = await measureOnTime(Number(process.env.STALL_SECONDS ?? 4))
    const { latencyMs, correctedMs } = stats.requests
    expect(latencyMs.p95).toBeLessThan(client.p95 / 10)
    expect(correctedMs?.p95).toBeGreaterThan(client.p95 * 0.8)
    expect(correctedMs?.p95).toBeLessThan(client.p95 * 1.2)
    expect(correctedMs?.p99).toBeGreaterThan(client.p99 * 0.8)
    expect(correctedMs?.p99).toBeLessThan(client.p99 * 1.2)
    expect(correctedMs?.p50).toBeLessThan(50)
    const [heavy, light] = ['/heavy', '/light'].map((route) => stats.endpoints.find((entry) => entry.route === route)!)
    expect(heavy!.loopMs).toBeGreaterThan(heavy!.count * 399)
    expect(light!.loopMs / light!.count).toBeLessThan(heavy!.loopMs / heavy!.count / 10)
  }, 120_000)
})

/**
 * Measures while the client is on time. It shares the processors with other programs: when it sends late, it also reads late, and
 * what it sees is not the server's doing.
 */
async function measureOnTime(seconds: number) {
  for (let tries = 1; ; tries++) {
    const measured = await measure(seconds)
    if (measured.client.lateMs < 20 || tries === 10) return measured
    server?.kill()
  }
}

/** Sends 100 requests a second at fixed times; the server is blocked for 400 ms every 2 s, by its timer and a heavy request in turn. */
async function measure(seconds: number) {
  server = fork(new URL('./fixtures/stalling-server.ts', import.meta.url))
  const [{ port }] = (await once(server, 'message')) as [{ port: number }]
  const agent = new Agent({ keepAlive: true, maxSockets: 400 })
  const send = (path: string) =>
    new Promise<void>((resolve, reject) => {
      const request = get({ port, host: '127.0.0.1', agent, path }, (response) => {
        response.resume().on('end', resolve)
      })
      request.on('error', reject)
    })
  await Promise.all(Array.from({ length: 60 }, () => send('/')))
  server.send('reset')

  const latencies: number[] = []
  const delays: number[] = []
  const sent: Array<Promise<unknown>> = []
  const began = performance.now()
  while (sent.length < seconds * 100) {
    const due = began + sent.length * 10
    const path = sent.length % 400 === 250 ? '/heavy' : '/'
    if (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, 2))
    else {
      // Not from when it was due: it does not wait for answers, so that it is late is the client's own doing.
      const sentAt = performance.now()
      delays.push(sentAt - due)
      sent.push(send(path).then(() => latencies.push(performance.now() - sentAt)))
    }
  }
  await Promise.all(sent)
  server.send('stats')
  const [stats] = (await once(server, 'message')) as [StatsDocument]
  agent.destroy()
  const percentile = (values: number[], share: number) => {
    return values.sort((a, b) => a - b)[Math.ceil(values.length * share) - 1]!
  }
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(latencies, share)) as [number, number, number]
  const client = { p50, p95, p99, lateMs: percentile(delays, 0.95) }
  return { client, stats }
}
