import { median, shuffle } from './harness.ts'
import { type RawRequest, type Served, serve } from './support/served.ts'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
/** Of a 304; an eighth of them for the full answer, which costs about eight times as much. */
const requests = Number(process.env.BENCH_REQUESTS ?? 4_000)

/**
 * What does a 304 cost that runs no handler? Processor time for 100 rows of SQLite as JSON, for a client that has them already,
 * and for the floors: a 304 that the framework sends without asking anybody, and one of bare Node.
 */
export default async function freshness(): Promise<string> {
  const stores = [['memory'], ...(process.env.REDIS_URL ? [['Redis', process.env.REDIS_URL]] : [])] as const
  const node = await serve('./fresh-server.ts', ['Node'])
  const lines: string[] = []
  for (const framework of ['Express', 'Fastify', 'Hono']) {
    for (const [store, ...args] of stores) {
      const server = await serve('./fresh-server.ts', [framework, ...args])
      const { full, fresh, bare, floor } = await costs(server, node)
      server.stop()
      const cells = [...[full, fresh, bare, floor].map((us) => us.toFixed(0)), (fresh / full).toFixed(3)]
      lines.push(`| ${framework} | ${store} | ${cells.join(' | ')} | ${(bare / full).toFixed(3)} |`)
    }
  }
  node.stop()
  return [
    '| framework | stamps in | 200, us | 304, us | bare 304, us | 304 of Node, us | 304 / 200 | bare 304 / 200 |',
    '|---|---|---:|---:|---:|---:|---:|---:|',
    ...lines,
    '',
    `Processor time of the server a request, medians of ${rounds} rounds of ${requests} requests over 16 connections in turns.`,
  ].join('\n')
}

async function costs(server: Served, node: Served): Promise<Record<'full' | 'fresh' | 'bare' | 'floor', number>> {
  const full: RawRequest = { path: '/rows' }
  const head = (await server.answerTo(full)).toString()
  const tag = /^etag: (.*)\r$/im.exec(head)?.[1]
  if (tag === undefined) throw new Error(`The answer has no entity tag:\n${head}`)
  const headers = { 'if-none-match': tag }
  const ways = {
    full: { server, request: full, count: requests / 8 },
    fresh: { server, request: { path: '/rows', headers }, count: requests },
    bare: { server, request: { path: '/bare', headers }, count: requests },
    floor: { server: node, request: { path: '/rows', headers }, count: requests },
  }
  for (const { server: asked, request } of [ways.fresh, ways.bare, ways.floor]) {
    const answer = (await asked.answerTo(request)).toString()
    if (!answer.startsWith('HTTP/1.1 304')) throw new Error(`The answer is no 304:\n${answer}`)
  }
  const found = { full: [] as number[], fresh: [] as number[], bare: [] as number[], floor: [] as number[] }
  // The compiler needs some ten thousand requests before the costs stay as they are.
  for (let round = -3; round < rounds; round++) {
    for (const name of shuffle(['full', 'fresh', 'bare', 'floor'] as const)) {
      const { server: asked, request, count } = ways[name]
      const cost = await asked.costOf(request, count)
      if (round >= 0) found[name].push(cost)
    }
  }
  return { full: median(found.full), fresh: median(found.fresh), bare: median(found.bare), floor: median(found.floor) }
}
