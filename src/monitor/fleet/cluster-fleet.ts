import type { Worker } from 'node:cluster'
import { nodeCluster } from '../../shared/platform/builtins.ts'
import { withDeadline } from '../../shared/time/waiting.ts'
import {
  type FleetMember,
  type FleetOptions,
  type FleetTransport,
  forgottenIntervals,
  parseFleetOptions,
} from './transport.ts'

/** A worker waits this long for the primary's answer. */
const answerMs = 1_500

/** How long processes that are asked to publish may take. */
const refreshMs = 1_000
/** Of how many workers that have left the last publication is kept, for its counters. */
const maxLeft = 200

interface Message {
  readonly posthasteFleet: string
  readonly publish?: { readonly id: string; readonly text: string }
  readonly remove?: string
  /** To the primary: have all workers publish. To a worker: publish, and then answer with the same number. */
  readonly refresh?: number
  readonly refreshed?: number
  readonly ask?: number
  readonly answer?: number
  readonly members?: ReadonlyArray<Omit<FleetMember, 'bytes'> & { readonly text: string }>
}

/**
 * Carries a fleet's numbers between the workers of `node:cluster`, through the primary, which keeps the latest publication of
 * each worker. Call it in the primary and in every worker: without the primary's call, each worker sees its own numbers only.
 * PM2 is a primary that does not call it, so use `redisFleet` under PM2.
 *
 * @throws TypeError when `interval` is not a duration; RangeError when it is 0
 */
export function clusterFleet(options: FleetOptions = {}): FleetTransport {
  const { namespace, intervalMs } = parseFleetOptions(options)
  return nodeCluster().isPrimary ? primaryFleet(namespace, intervalMs) : workerFleet(namespace, intervalMs)
}

function primaryFleet(namespace: string, intervalMs: number): FleetTransport {
  const published = new Map<string, { at: number; bytes: Uint8Array }>()
  const left = new Map<string, Uint8Array>()
  const waiting = new Map<number, () => void>()
  let asked = 0
  let publishOwn: () => Promise<void> = async () => {}
  const remove = (id: string) => {
    const last = published.get(id)
    if (last === undefined) return
    published.delete(id)
    left.set(id, last.bytes)
    const [oldest] = left.keys()
    if (left.size > maxLeft && oldest !== undefined) left.delete(oldest)
  }
  const members = (): FleetMember[] => {
    const now = performance.now()
    for (const [id, { at }] of published) if (now - at > intervalMs * forgottenIntervals) remove(id)
    const present = [...published].map(([id, { at, bytes }]) => ({ id, ageMs: now - at, hasLeft: false, bytes }))
    return [...present, ...[...left].map(([id, bytes]) => ({ id, ageMs: 0, hasLeft: true, bytes }))]
  }
  const store = (id: string, bytes: Uint8Array) => {
    left.delete(id)
    published.set(id, { at: performance.now(), bytes })
  }
  /** Settles when the worker has published. One without this fleet never answers. */
  const refreshWorker = async (worker: Worker) => {
    const ask = ++asked
    const { promise: refreshed, resolve } = Promise.withResolvers<void>()
    waiting.set(ask, resolve)
    sendToWorker(worker, { posthasteFleet: namespace, refresh: ask })
    await withDeadline(refreshed, refreshMs, () => {})
    waiting.delete(ask)
  }
  const refresh = async () => {
    const workers = Object.values(nodeCluster().workers ?? {}).filter((worker) => worker?.isConnected())
    const own = withDeadline(publishOwn(), refreshMs, () => {})
    await Promise.all([own, ...workers.map((worker) => refreshWorker(worker as Worker))])
  }
  const onMessage = async (worker: Worker, message: unknown) => {
    if (!isOurs(message, namespace)) return
    const { publish, remove: removed, refreshed, refresh: wanted, ask } = message
    if (removed !== undefined) remove(removed)
    if (publish !== undefined) store(publish.id, fromText(publish.text))
    if (refreshed !== undefined) waiting.get(refreshed)?.()
    if (wanted !== undefined) await refresh()
    if (ask === undefined) return
    const list = members().map(({ bytes, ...member }) => ({ ...member, text: toText(bytes) }))
    // The worker may have died since it asked.
    if (worker.isConnected()) sendToWorker(worker, { posthasteFleet: namespace, answer: ask, members: list })
  }
  nodeCluster().on('message', onMessage)
  return {
    intervalMs,
    async publish(id, bytes) {
      store(id, bytes)
    },
    async remove(id) {
      remove(id)
    },
    collect: async () => members(),
    refresh,
    onRefresh(publish) {
      publishOwn = publish
    },
    async close() {
      nodeCluster().off('message', onMessage)
    },
  }
}

function workerFleet(namespace: string, intervalMs: number): FleetTransport {
  let asked = 0
  let hasPrimaryAnswered = false
  let stopListening = () => {}
  const collect = async (request: Pick<Message, 'refresh'> = {}): Promise<readonly FleetMember[]> => {
    const ask = ++asked
    const { promise: members, resolve } = Promise.withResolvers<readonly FleetMember[]>()
    const onMessage = (message: unknown) => {
      if (!isOurs(message, namespace) || message.answer !== ask) return
      hasPrimaryAnswered = true
      resolve((message.members ?? []).map(({ text, ...member }) => ({ ...member, bytes: fromText(text) })))
    }
    // Listen only while waiting: a listener keeps the channel open, and with it the process.
    process.on('message', onMessage)
    try {
      sendToPrimary({ posthasteFleet: namespace, ask, ...request })
      return await withDeadline(members, answerMs, () => {
        if (hasPrimaryAnswered) throw new Error(`no answer of the primary within ${answerMs} ms`)
        // The primary may have no fleet: then the worker goes on with its own numbers alone.
        return []
      })
    } finally {
      process.off('message', onMessage)
    }
  }
  return {
    intervalMs,
    async publish(id, bytes) {
      sendToPrimary({ posthasteFleet: namespace, publish: { id, text: toText(bytes) } })
    },
    async remove(id) {
      sendToPrimary({ posthasteFleet: namespace, remove: id })
    },
    collect: () => collect(),
    async refresh() {
      await collect({ refresh: 1 })
    },
    onRefresh(publish) {
      stopListening = listenQuietly(async (message) => {
        if (!isOurs(message, namespace) || message.refresh === undefined) return
        await publish()
        sendToPrimary({ posthasteFleet: namespace, refreshed: message.refresh })
      })
    },
    async close() {
      stopListening()
    },
  }
}

/**
 * Listens to messages of the primary without keeping the process alive. Node counts the listeners of the channel: `unref()`
 * would also stop the user's listeners from keeping the process alive.
 */
function listenQuietly(onMessage: (message: unknown) => void): () => void {
  const channel = process.channel as { refCounted?(): void; unrefCounted?(): void } | undefined
  process.on('message', onMessage)
  channel?.unrefCounted?.()
  return () => {
    channel?.refCounted?.()
    process.off('message', onMessage)
  }
}

function sendToWorker(worker: Worker, message: Message): void {
  worker.send(message, ignoreFailure)
}

function sendToPrimary(message: Message): void {
  if (process.connected) process.send?.(message, undefined, undefined, ignoreFailure)
}

/** Without a callback, a message to a process that has just died is an error that ends this process. */
function ignoreFailure(): void {}

function isOurs(message: unknown, namespace: string): message is Message {
  return typeof message === 'object' && (message as Message | null)?.posthasteFleet === namespace
}

/** Base64: a channel with JSON serialization cannot carry bytes. */
function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

function fromText(text: unknown): Uint8Array {
  return Buffer.from(String(text), 'base64')
}
