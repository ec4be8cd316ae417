import cluster, { type Worker } from 'node:cluster'
import { parseDuration } from '../../shared/duration.ts'
import { type FleetMember, type FleetOptions, type FleetTransport, forgottenIntervals } from './transport.ts'

/** How long a worker waits for the primary: longer, and it goes on without the others. */
const answerMs = 1_000

interface Message {
  readonly posthasteFleet: string
  readonly publish?: { readonly id: string; readonly text: string }
  readonly remove?: string
  readonly ask?: number
  readonly answer?: number
  readonly members?: ReadonlyArray<{ readonly id: string; readonly ageMs: number; readonly text: string }>
}

/**
 * Carries a fleet's numbers between the workers of `node:cluster`, through the primary. Both sides call it: the primary
 * keeps the last publication of each worker, and answers who asks. A primary that does not leaves each worker with its own
 * numbers; PM2's is such a one, so processes under PM2 take `redisFleet`.
 */
export function clusterFleet({ namespace = 'default', interval = '10s' }: FleetOptions = {}): FleetTransport {
  const intervalMs = parseDuration(interval, 'interval')
  return cluster.isPrimary ? primaryFleet(namespace, intervalMs) : workerFleet(namespace, intervalMs)
}

function primaryFleet(namespace: string, intervalMs: number): FleetTransport {
  const published = new Map<string, { at: number; bytes: Uint8Array }>()
  const members = (): FleetMember[] => {
    const now = performance.now()
    for (const [id, { at }] of published) if (now - at > intervalMs * forgottenIntervals) published.delete(id)
    return [...published].map(([id, { at, bytes }]) => ({ id, ageMs: now - at, bytes }))
  }
  const keep = (id: string, bytes: Uint8Array) => published.set(id, { at: performance.now(), bytes })
  const onMessage = (worker: Worker, message: unknown) => {
    if (!isOurs(message, namespace)) return
    const { publish, remove, ask } = message
    if (remove !== undefined) published.delete(remove)
    if (publish !== undefined) keep(publish.id, fromText(publish.text))
    if (ask === undefined) return
    const list = members().map(({ id, ageMs, bytes }) => ({ id, ageMs, text: toText(bytes) }))
    // A worker that has just died cannot be told; it does not ask any more either.
    if (worker.isConnected()) worker.send({ posthasteFleet: namespace, answer: ask, members: list })
  }
  cluster.on('message', onMessage)
  return {
    intervalMs,
    async publish(id, bytes) {
      keep(id, bytes)
    },
    async remove(id) {
      published.delete(id)
    },
    collect: async () => members(),
    async close() {
      cluster.off('message', onMessage)
    },
  }
}

function workerFleet(namespace: string, intervalMs: number): FleetTransport {
  let asked = 0
  return {
    intervalMs,
    async publish(id, bytes) {
      tell({ posthasteFleet: namespace, publish: { id, text: toText(bytes) } })
    },
    async remove(id) {
      tell({ posthasteFleet: namespace, remove: id })
    },
    collect() {
      const ask = ++asked
      return new Promise((resolve) => {
        // Listening only while waiting: a listener keeps the channel, and the process with it, alive.
        const finish = (members: readonly FleetMember[]) => {
          clearTimeout(timer)
          process.off('message', onMessage)
          resolve(members)
        }
        const onMessage = (message: unknown) => {
          if (!isOurs(message, namespace) || message.answer !== ask) return
          finish((message.members ?? []).map(({ id, ageMs, text }) => ({ id, ageMs, bytes: fromText(text) })))
        }
        const timer = setTimeout(finish, answerMs, [])
        process.on('message', onMessage)
        tell({ posthasteFleet: namespace, ask })
      })
    },
    async close() {},
  }
}

function tell(message: Message): void {
  if (process.connected) process.send?.(message)
}

function isOurs(message: unknown, namespace: string): message is Message {
  return typeof message === 'object' && (message as Message | null)?.posthasteFleet === namespace
}

/** The channel carries JSON, or what `structuredClone` takes: text passes through either. */
function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

function fromText(text: unknown): Uint8Array {
  return Buffer.from(String(text), 'base64')
}
