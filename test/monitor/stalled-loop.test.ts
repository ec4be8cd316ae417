import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import type { StatsDocument } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'

let server: ChildProcess | undefined

afterEach(() => {
  server?.kill()
})

// The client shares the processors with whatever else runs: what it is late by is not the server's doing, so a busy moment may
// be measured again.
describe('a stalled event loop, under requests that come whether it is stalled or not', { retry: 2 }, () => {
  it('shows in the corrected percentiles what clients saw, and which endpoint blocks it', async () => {
    const { client, stats } = await measure(Number(process.env.STALL_SECONDS ?? 4))
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
  }, 60_000)
})

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
  const sent: Array<Promise<unknown>> = []
  const began = performance.now()
  while (sent.length < seconds * 100) {
    const due = began + sent.length * 10
    const path = sent.length % 400 === 250 ? '/heavy' : '/'
    if (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, 2))
    else {
      // Not from when it was due: it does not wait for answers, so that it is late is the client's own doing.
      const sentAt = performance.now()
      sent.push(send(path).then(() => latencies.push(performance.now() - sentAt)))
    }
  }
  await Promise.all(sent)
  server.send('stats')
  const [stats] = (await once(server, 'message')) as [StatsDocument]
  agent.destroy()
  latencies.sort((a, b) => a - b)
  const percentile = (share: number) => latencies[Math.ceil(latencies.length * share) - 1]!
  const client = { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) }
  return { client, stats }
}
