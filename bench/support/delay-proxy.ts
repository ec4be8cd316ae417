import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** A proxy that delays every byte, as a network between two machines does. It has its own thread. */
export async function startDelayProxy(
  targetPort: number,
  roundTripMs: number,
): Promise<{ port: number; stop(): void }> {
  const worker = new Worker(source, { eval: true, workerData: { targetPort, oneWayMs: roundTripMs / 2 } })
  const [port] = (await once(worker, 'message')) as [number]
  return { port, stop: () => void worker.terminate() }
}

const source = `
const { connect, createServer } = require('node:net')
const { parentPort, workerData: { targetPort, oneWayMs } } = require('node:worker_threads')
const pass = (from, to) => {
  from.setNoDelay(true)
  from.on('data', (chunk) => setTimeout(() => to.destroyed || to.write(chunk), oneWayMs))
  from.on('error', () => {}).on('close', () => to.destroy())
}
const server = createServer((client) => {
  const upstream = connect(targetPort, '127.0.0.1')
  pass(client, upstream)
  pass(upstream, client)
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`
