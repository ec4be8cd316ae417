import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@keyv/redis'
import { createCache } from '../src/cache/create-cache.ts'
import { startRedis } from '../test/support/servers.ts'
import { median } from './harness.ts'
import type { Heard } from './support/cache-fleet.ts'

/** Caches, each with the connections of a process: as many as a machine of few cores can hold, in few processes. */
const caches = Number(process.env.CACHES ?? 300)
const processes = 4
const rates = [10, 100, 1_000]
const forMs = Number(process.env.FLEET_MS ?? 5_000)
/** How long the last messages may take to arrive. */
const settleMs = 3_000
const tickMs = 10
/** Between two looks at the memory of Redis, which answers with some kilobytes. */
const lookEveryMs = 250

interface Invalidation {
  /** In milliseconds since 1970. */
  readonly sentAt: number
  isDone: boolean
}

/** What do invalidations cost a fleet on one Redis, and when has every cache heard of one? */
export default async function cacheFleet(): Promise<string> {
  const server = await startRedis()
  if (server === undefined) throw new Error('There is no redis-server on the PATH')
  const client = createClient({ url: server.url })
  await client.connect()
  const usage = async () => readUsage(String(await client.sendCommand(['INFO', 'default'])))
  const empty = await usage()
  const worker = new URL('./support/cache-fleet.ts', import.meta.url)
  const size = String(Math.ceil(caches / processes))
  const workers = Array.from({ length: processes }, () => fork(worker, [server.url, size]))
  await Promise.all(workers.map((child) => once(child, 'message')))
  const sender = createCache({ redis: server.url, namespace: 'fleet', timeouts: { store: '10s' } })
  await sender.explain('warm')
  const idle = await usage()
  const rows: string[] = []
  for (const rate of rates) rows.push(await measure(rate, { workers, invalidate: sender.invalidateTags, usage }))
  for (const child of workers) child.kill('SIGKILL')
  await sender.close()
  client.destroy()
  await server.stop()
  return [
    `${caches} caches in ${processes} processes, each in use, ${forMs / 1_000} s at each rate. Connected, they take ${megabytes(idle.memory - empty.memory)} MB of Redis.`,
    '',
    '| invalidations a second: asked for | answered | messages a second | MB a second | Redis, share of a core | Redis, MB at most | median ms until all have heard | 99 of 100 | caches that missed a message | a message takes a process |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
  ].join('\n')
}

interface Fleet {
  readonly workers: readonly ChildProcess[]
  readonly invalidate: (tag: string) => Promise<unknown>
  readonly usage: () => Promise<Usage>
}

async function measure(rate: number, { workers, invalidate, usage }: Fleet): Promise<string> {
  await Promise.all(workers.map(ask))
  const sent: Invalidation[] = []
  const before = await usage()
  const startedAt = performance.now()
  let highest = before.memory
  let lookedAt = 0
  for (let elapsed = 0; elapsed < forMs; elapsed = performance.now() - startedAt) {
    while (sent.length < (elapsed * rate) / 1_000) {
      const invalidation = { sentAt: now(), isDone: false }
      invalidate(`tag:${sent.length}`).then(() => {
        invalidation.isDone = true
      })
      sent.push(invalidation)
    }
    await sleep(tickMs)
    if (elapsed < lookedAt + lookEveryMs) continue
    lookedAt = elapsed
    highest = Math.max(highest, (await usage()).memory)
  }
  const after = await usage()
  const answered = sent.filter(({ isDone }) => isDone).length
  const tookS = (performance.now() - startedAt) / 1_000
  await sleep(settleMs)
  const answers = await Promise.all(workers.map(ask))
  const delays = sent.flatMap(({ sentAt }, number) => delayOf(number, sentAt, answers) ?? []).sort((a, b) => a - b)
  const heard = answers.flatMap(({ last }) => last).reduce((sum, [, count]) => sum + count, 0)
  return `| ${[
    rate.toLocaleString('en'),
    (answered / tookS).toFixed(0),
    Math.round(heard / tookS).toLocaleString('en'),
    ((after.sentBytes - before.sentBytes) / tookS / 1e6).toFixed(2),
    `${(((after.cpuS - before.cpuS) / tookS) * 100).toFixed(0)} %`,
    megabytes(highest),
    delays.length === 0 ? 'never' : median(delays).toFixed(1),
    delays.length < sent.length * 0.99
      ? 'never'
      : (delays[Math.floor(sent.length * 0.99) - 1] ?? Number.NaN).toFixed(1),
    answers.reduce((sum, { dropped }) => sum + dropped, 0),
    `${(answers.reduce((sum, { cpuUs }) => sum + cpuUs, 0) / heard).toFixed(0)} us`,
  ].join(' | ')} |`
}

/** Milliseconds until the last cache has heard of an invalidation; `undefined` if one has not. */
function delayOf(number: number, sentAt: number, answers: readonly Heard[]): number | undefined {
  const own = answers.flatMap(({ last }) => last.filter(([other]) => other === number))
  const count = own.reduce((sum, [, heard]) => sum + heard, 0)
  return count < caches ? undefined : Math.max(...own.map(([, , at]) => at)) - sentAt
}

async function ask(child: ChildProcess): Promise<Heard> {
  child.send('heard?')
  const [answer] = await once(child, 'message')
  return answer as Heard
}

interface Usage {
  readonly memory: number
  readonly sentBytes: number
  readonly cpuS: number
}

/** @param info - what Redis says of itself */
function readUsage(info: string): Usage {
  const field = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1])
  return {
    memory: field('used_memory'),
    sentBytes: field('total_net_output_bytes'),
    cpuS: field('used_cpu_user') + field('used_cpu_sys'),
  }
}

function now(): number {
  return performance.timeOrigin + performance.now()
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}
