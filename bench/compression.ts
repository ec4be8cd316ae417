import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { type CompressibleHead, createCompressor } from '../src/index.ts'
import { shuffle } from './harness.ts'
import { rowsOf } from './support/rows.ts'
import { type RawRequest, type Served, serve } from './support/served.ts'

const rounds = Number(process.env.BENCH_ROUNDS ?? 30)
const requests = Number(process.env.BENCH_REQUESTS ?? 160)

const middlewares = ['none', 'compression', 'posthaste', 'posthaste, brotliQuality 2', 'Vary alone'] as const
type Name = (typeof middlewares)[number]

/**
 * What does a compressed answer cost, against the middleware that Express users know, in bytes and processor time? What does ours
 * cost where there is nothing to compress, and how long does a megabyte block the event loop?
 *
 * Each middleware has a server in a process of its own, and what is told is the processor time of that process, its thread pool
 * included: what the middleware adds to a request, and what the whole request costs.
 */
export default async function compression(): Promise<string> {
  const servers = new Map<Name, Served>()
  for (const name of middlewares) servers.set(name, await serve('./compressing-server.ts', [name]))
  try {
    return [await costs(servers), await identity(servers), await blocking()].join('\n\n')
  } finally {
    for (const { stop } of servers.values()) stop()
  }
}

async function costs(servers: ReadonlyMap<Name, Served>): Promise<string> {
  const lines: string[] = []
  for (const coding of ['gzip', 'br']) {
    for (const bytes of [1_536, 4_096, 8_192, 16_384]) {
      const request = { path: `/${bytes}`, headers: { 'accept-encoding': coding } }
      const names = middlewares.filter((name) => name !== 'Vary alone' && (coding === 'br' || !name.includes('brotli')))
      const costOf = await race(servers, names, request)
      const [none, theirs] = [costOf('none'), costOf('compression')]
      for (const name of names.slice(2)) {
        const ours = costOf(name)
        const cells = [
          ...[none, theirs - none, ours - none].map((us) => us.toFixed(0)),
          ...[(ours - none) / (theirs - none), ours / theirs].map((ratio) => ratio.toFixed(2)),
          (codecAlone(coding, bytes) / (theirs - none)).toFixed(2),
          await bodyLength(servers.get('compression'), request),
          await bodyLength(servers.get(name), request),
        ]
        lines.push(`| ${coding}, ${(bytes / 1024).toFixed(1)} KB | ${name} | ${cells.join(' | ')} |`)
      }
    }
  }
  return [
    '### Whole bodies, in microseconds of the server a request',
    '',
    '| | | no middleware | `compression` adds | ours adds | ratio | ratio of whole requests | Node’s codec alone | bytes, `compression` | bytes, ours |',
    '|---|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...lines,
    '',
    'The ratios are of what the middlewares add; the codec is called for the same bytes and level, in a loop.',
  ].join('\n')
}

/** Microseconds of the synchronous call that ours makes. */
function codecAlone(coding: string, bytes: number): number {
  const body = Buffer.from(rowsOf(bytes))
  const params = { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_SIZE_HINT]: body.length }
  const times: number[] = []
  for (let round = 0; round < 30; round++) {
    const before = process.cpuUsage()
    for (let call = 0; call < 100; call++) {
      if (coding === 'br') brotliCompressSync(body, { params, chunkSize: body.length })
      else gzipSync(body, { level: 6, chunkSize: body.length })
    }
    const { user, system } = process.cpuUsage(before)
    times.push((user + system) / 100)
  }
  return at(times, 0.1)
}

async function identity(servers: ReadonlyMap<Name, Served>): Promise<string> {
  const lines: string[] = []
  for (const [title, headers] of [
    ['no `Accept-Encoding`', {}],
    ['`identity`', { 'accept-encoding': 'identity' }],
  ] as const) {
    const costOf = await race(servers, ['none', 'Vary alone', 'compression', 'posthaste'], { path: '/8192', headers })
    const none = costOf('none')
    const cells = [
      none.toFixed(1),
      ...(['Vary alone', 'compression', 'posthaste'] as const).map((name) => (costOf(name) / none).toFixed(3)),
    ]
    lines.push(`| ${title} | ${cells.join(' | ')} |`)
  }
  return [
    '### A client that accepts no coding, 8 KB',
    '',
    '| | no middleware, us | with the header `Vary` alone | with `compression` | with ours |',
    '|---|---:|---:|---:|---:|',
    ...lines,
  ].join('\n')
}

/** All in turns; what counts is the tenth percentile, because what else the machine does only adds. */
async function race(
  servers: ReadonlyMap<Name, Served>,
  names: readonly Name[],
  request: RawRequest,
): Promise<(name: Name) => number> {
  const measured = new Map<Name, number[]>(names.map((name) => [name, []]))
  for (let round = -3; round < rounds; round++) {
    for (const name of shuffle(names)) {
      const us = await (servers.get(name) as Served).costOf(request, requests)
      if (round >= 0) measured.get(name)?.push(us)
    }
  }
  return (name) => at(measured.get(name) ?? [], 0.1)
}

async function bodyLength(server: Served | undefined, request: RawRequest): Promise<number> {
  const answer = (await server?.answerTo(request)) ?? Buffer.alloc(0)
  const end = answer.indexOf('\r\n\r\n') + 4
  const length = /^content-length: (\d+)/im.exec(answer.toString('latin1', 0, end))?.[1]
  // The chunks of a body in pieces have their lengths in front.
  return length === undefined ? unchunked(answer.subarray(end)) : Number(length)
}

function unchunked(body: Buffer): number {
  let total = 0
  for (let start = 0; ; ) {
    const end = body.indexOf('\r\n', start)
    const length = Number.parseInt(body.toString('latin1', start, end), 16)
    if (!(length > 0)) return total
    total += length
    start = end + 2 + length + 2
  }
}

/** How long a call of the compressor with a text of 1 MB takes before it returns, and the turns of the event loop meanwhile. */
async function blocking(): Promise<string> {
  const ascii = rowsOf(1024 * 1024)
  const texts = { ASCII: ascii, 'wide characters': ascii.replaceAll('User', 'Us€r') }
  const compressor = createCompressor()
  const lines: string[] = []
  for (const [kind, text] of Object.entries(texts)) {
    for (const coding of ['nothing', 'gzip', 'br', 'zstd']) {
      const head: CompressibleHead = {
        acceptEncoding: coding,
        header: (name) => (name === 'content-type' ? 'application/json' : null),
      }
      const calls: number[] = []
      const turns: number[] = []
      let isDone = false
      const work = (async () => {
        for (let call = 0; call < 60; call++) {
          const startedAt = performance.now()
          const encoding = compressor.body(text, head)
          calls.push(performance.now() - startedAt)
          await encoding
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        isDone = true
      })()
      for (let last = performance.now(); !isDone; ) {
        await new Promise(setImmediate)
        const now = performance.now()
        turns.push(now - last)
        last = now
      }
      await work
      const cells = [at(calls, 0.5), at(calls, 0.9), at(turns, 0.999), at(turns, 1)].map((ms) => ms.toFixed(2))
      lines.push(`| ${kind} | ${coding} | ${cells.join(' | ')} |`)
    }
  }
  return [
    '### Texts of 1 MB, in ms',
    '',
    '| | coding | a call, p50 | p90 | turns, p99.9 | longest |',
    '|---|---|---:|---:|---:|---:|',
    ...lines,
    '',
    'What "nothing" has, other work of the machine and of the garbage collector has caused.',
  ].join('\n')
}

function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
}
