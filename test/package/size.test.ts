import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'
import { packed } from './support/packed.ts'

const kilobyte = 1_000

/** Bytes of a bundle that uses one name, minified; without Kysely, and without what is imported later. */
async function bytesOf(name: string, from: string): Promise<number> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export { ${name} } from '${from}'`, resolveDir: join(packed, '../..') },
    external: ['kysely'],
    bundle: true,
    splitting: true,
    outdir: 'out',
    metafile: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    write: false,
    logLevel: 'error',
  })
  const outputs = new Map(
    outputFiles.map(({ path, contents }) => [path.slice(process.cwd().length + 1), contents.length]),
  )
  const loaded = new Set<string>()
  const load = (file: string): void => {
    if (loaded.has(file)) return
    loaded.add(file)
    for (const { path, kind, external } of metafile.outputs[file]?.imports ?? []) {
      if (kind === 'import-statement' && external !== true) load(path)
    }
  }
  load('out/stdin.js')
  return [...loaded].reduce((sum, file) => sum + (outputs.get(file) ?? 0), 0)
}

describe('a bundle of one name', () => {
  it.each([
    ['chunks', 'posthaste', 8],
    ['paginate', 'posthaste', 35],
    ['cursorPaginate', 'posthaste', 88],
    ['createCache', 'posthaste', 85],
    ['PerformanceMonitor', 'posthaste', 80],
    ['chunks', 'posthaste/batch', 2],
    ['paginate', 'posthaste/pagination', 32],
    ['cursorPaginate', 'posthaste/pagination', 85],
    ['createCache', 'posthaste/cache', 75],
    ['PerformanceMonitor', 'posthaste/monitor', 75],
  ])('%s from %s has at most %d KB', async (name, from, limit) => {
    expect(await bytesOf(name, from)).toBeLessThanOrEqual(limit * kilobyte)
  })
})

describe('the package', () => {
  const [{ size, files }] = JSON.parse(
    execFileSync('npm', ['pack', '--ignore-scripts', '--dry-run', '--json'], { encoding: 'utf8' }),
  ) as [{ size: number; files: { path: string }[] }]
  const paths = files.map(({ path }) => path)

  it('is below 500 KB packed, with its source maps', () => {
    expect(size).toBeLessThan(500 * kilobyte)
    expect(paths.some((path) => path.endsWith('.js.map'))).toBe(true)
  })

  it('has every page that a page of it links to, but those on how to come to it and on how it works', () => {
    const pages = paths.filter((path) => path.startsWith('docs/') && path.endsWith('.md'))
    const linked = pages.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#]+\.md)/g)].map(([, link = '']) =>
        posix.join(posix.dirname(page), link),
      ),
    )
    expect(linked.length).toBeGreaterThan(50)
    const missing = linked.filter((page) => !paths.includes(page) && !/^docs\/(?:migration|internals)\//.test(page))
    expect(missing).toEqual([])
  })

  it('has at most six dependencies, and runs nothing when it is installed', () => {
    const manifest = JSON.parse(readFileSync(join(packed, 'package.json'), 'utf8')) as {
      dependencies: object
      scripts: Record<string, string>
    }
    expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(6)
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(script)
  })
})
