import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A server in a process of its own, so that its processor time is known apart from the client's. */
export interface Served {
  /** Processor time of the server a request, in microseconds, over keep-alive connections. */
  costOf(request: RawRequest, count: number): Promise<number>
  /** Requests a second that it answers. */
  rateOf(request: RawRequest, seconds: number): Promise<number>
  /** The bytes of one answer, head included. */
  answerTo(request: RawRequest): Promise<Buffer>
  stop(): void
}

export interface RawRequest {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

const sockets = 16

/**
 * Starts a program that listens, tells `{ port }` to the process that started it, and answers every message with its
 * `process.cpuUsage()`.
 */
export async function serve(program: string, args: readonly string[]): Promise<Served> {
  const child = fork(new URL(program, import.meta.url), args)
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    async costOf(request, count) {
      const before = await cpuOf(child)
      let left = count
      await Promise.all(Array.from({ length: sockets }, () => load(port, textOf(request), () => left-- > 0)))
      return ((await cpuOf(child)) - before) / count
    },
    async rateOf(request, seconds) {
      const startedAt = performance.now()
      let count = 0
      const goOn = () => {
        count++
        return performance.now() - startedAt < seconds * 1_000
      }
      await Promise.all(Array.from({ length: sockets }, () => load(port, textOf(request), goOn)))
      return (count - sockets) / ((performance.now() - startedAt) / 1_000)
    },
    answerTo: (request) => answerOf(port, textOf(request)),
    stop: () => void child.kill(),
  }
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu')
  const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
  return user + system
}

function textOf({ path, headers = {} }: RawRequest): string {
  const fields = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${path} HTTP/1.1\r\n${fields.join('')}\r\n`
}

/** One answer over a connection of its own. */
async function answerOf(port: number, request: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let asked = 0
  await load(
    port,
    request,
    () => asked++ === 0,
    (chunk) => chunks.push(chunk),
  )
  return Buffer.concat(chunks)
}

/** Sends requests over one connection, each after the answer to the one before, while there are to be more. */
function load(port: number, request: string, goOn: () => boolean, onData?: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1')
    /** Of the answer; negative before its head, and infinite when it is told by an empty chunk. */
    let missing = -1
    const send = () => {
      missing = -1
      if (goOn()) socket.write(request)
      else socket.end(resolve)
    }
    socket.once('connect', send).on('error', reject)
    socket.on('data', (chunk) => {
      onData?.(chunk)
      if (missing < 0) missing = lengthOf(chunk)
      missing -= chunk.length
      if (missing === 0 || (missing === Number.POSITIVE_INFINITY && chunk.subarray(-5).equals(lastChunk))) send()
    })
  })
}

const lastChunk = Buffer.from('0\r\n\r\n')
/** An answer with this status has no body, and need not say so. */
const notModified = Buffer.from('304')

/** The length of an answer, by its head, which fits into its first packet. */
function lengthOf(start: Buffer): number {
  const end = start.indexOf('\r\n\r\n') + 4
  if (start.subarray(9, 12).equals(notModified)) return end
  const length = /^content-length: (\d+)/im.exec(start.toString('latin1', 0, end))?.[1]
  return length === undefined ? Number.POSITIVE_INFINITY : end + Number(length)
}
