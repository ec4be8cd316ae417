import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createProject, faces, hasTools, tool } from './support/packed.ts'

/** Uses what is loaded late, and what says that an optional peer is missing. */
const useOfRoot = `
import { batchWorker, chunks, createCache, PerformanceMonitor } from 'posthaste'
const monitor = new PerformanceMonitor()
monitor.record('GET', '/', 200, monitor.start())
const hdr = await monitor.toHdr('GET', '/')
const cache = createCache()
const value = await cache.getOrSet('key', () => [...chunks([1, 2, 3], 2)].length)
const onRedis = createCache({ redis: 'redis://127.0.0.1:1', onWarn: () => {} })
const codes = []
await onRedis.getOrSet('key', () => 1).catch((error) => codes.push(error.code))
try {
  batchWorker('queue', () => {}, { connection: 'redis://127.0.0.1:1' })
} catch (error) {
  codes.push(error.code)
}
const answered = await cache.http(() => new Response('ok'))(new Request('http://127.0.0.1/'))
console.log(JSON.stringify({ hdr: hdr.slice(0, 4), value, codes, body: await answered.text() }))
await Promise.all([cache.close(), onRedis.close(), monitor.close()])
`

const entries = {
  ...Object.fromEntries(
    faces.map((face) => [
      `entries/${face}.js`,
      `import * as face from 'posthaste/${face}'\nconsole.log(Object.keys(face).length > 0)\n`,
    ]),
  ),
  // CommonJS has no await at its top level.
  'entries/root.js': useOfRoot.replace(/const monitor[\s\S]*/, (body) => `void (async () => {\n${body}\n})()\n`),
}

describe.skipIf(!hasTools).each(['esbuild as ESM', 'esbuild as CommonJS', 'Rollup', 'Vite', 'webpack'])(
  '%s, where no optional peer is installed',
  (bundler) => {
    const project = createProject({ packages: ['kysely', 'hono'], files: entries })
    afterAll(project.remove)

    it('bundles every face, and the bundles run', () => {
      execFileSync(process.execPath, [tool('../bundle.mjs'), bundler, project.folder], { stdio: 'pipe' })
      const bundles = readdirSync(join(project.folder, 'out')).filter((file) => isEntry(file))
      expect(bundles).toHaveLength(faces.length + 1)
      const root = bundles.find((bundle) => bundle.startsWith('root.')) as string
      const others = bundles.filter((bundle) => bundle !== root)
      expect(JSON.parse(project.run(join('out', root)))).toEqual({
        hdr: 'HIST',
        value: 2,
        codes: ['ERR_PEER_MISSING', 'ERR_PEER_MISSING'],
        body: 'ok',
      })
      const imports = others.map((bundle) => `await import('./out/${bundle}')`)
      expect(project.run('--input-type=module', '-e', imports.join('\n')).trim().split('\n')).toEqual(
        others.map(() => 'true'),
      )
    }, 300_000)
  },
)

function isEntry(file: string): boolean {
  const [name = '', ending = '', ...more] = file.split('.')
  return /^[cm]?js$/.test(ending) && more.length === 0 && [...faces, 'root'].includes(name)
}

describe.skipIf(!hasTools)('a tracer of files', () => {
  it('finds what is always needed, and leaves optional peers alone', async () => {
    const project = createProject({ packages: ['kysely'], files: { 'main.js': useOfRoot } })
    const { nodeFileTrace } = (await import(tool('@vercel/nft'))) as {
      nodeFileTrace(files: string[], options: object): Promise<{ fileList: Set<string>; warnings: Set<Error> }>
    }
    const base = resolve('/')
    const { fileList, warnings } = await nodeFileTrace([join(project.folder, 'main.js')], { base })
    project.remove()
    const packages = new Set(
      [...fileList].map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]).filter((name) => name),
    )
    expect(packages).toContain('hdr-histogram-js')
    for (const peer of ['@keyv/redis', 'keyv', 'bullmq', 'mysql2', 'pg']) expect(packages).not.toContain(peer)
    expect([...warnings].map(({ message }) => message).filter((message) => message.includes('posthaste'))).toEqual([])
  })
})
