import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { decode, encode, type SourceMapSegment } from '@jridgewell/sourcemap-codec'
import { parse } from 'acorn'
import { build, type PluginBuild } from 'esbuild'
import { defineConfig, type Options } from 'tsup'
import { defineDashboard } from './scripts/dashboard.ts'

const config: Options = {
  entry: ['src/*.ts'],
  format: 'esm',
  target: 'node22',
  platform: 'node',
  sourcemap: true,
  removeNodeProtocol: false,
  dts: true,
  define: defineDashboard(),
  clean: true,
  splitting: true,
  treeshake: true,
  esbuildPlugins: [{ name: 'faces', setup: keepFaces }],
  async onSuccess() {
    await mergeShared()
    shrink()
  },
}

/**
 * The root imports the faces as files, and not the chunks behind them: esbuild would add to a bundle of one name every chunk that
 * the root imports and that something imported later needs too.
 */
function keepFaces({ onResolve }: PluginBuild): void {
  onResolve({ filter: /^\.\/[a-z]+\.ts$/ }, ({ path, importer }) =>
    importer.endsWith('/src/index.ts') ? { path: path.replace(/ts$/, 'js'), external: true } : undefined,
  )
}

/** Makes one file of all small chunks of `src/shared`: Node takes longer to find and open a small file than to compile it. */
async function mergeShared(): Promise<void> {
  const chunks = globSync('dist/chunk-*.js').filter((file) => {
    const { sources } = JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMap
    return sources.every((source) => source.startsWith('../src/shared/') && !source.includes('/index-advice/'))
  })
  const names = chunks.map((file) => basename(file))
  await build({
    stdin: { contents: names.map((name) => `export * from './${name}'`).join('\n'), resolveDir: 'dist' },
    outfile: 'dist/shared.js',
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    packages: 'external',
    sourcemap: true,
  })
  for (const file of chunks) for (const path of [file, `${file}.map`]) rmSync(path)
  const isMerged = new Set(names)
  for (const file of globSync('dist/*.js')) {
    const text = readFileSync(file, 'utf8')
    const toShared = (path: string, name: string) => (isMerged.has(name) ? './shared.js' : path)
    writeFileSync(file, joinImports(text.replace(/\.\/(chunk-\w+\.js)/g, toShared)))
  }
}

/** Imports all names of the shared file where it is named first. The other lines stay, empty, because maps count lines. */
function joinImports(text: string): string {
  const form = /^import (?:\{ (.+) \} from )?'\.\/shared\.js';$/gm
  const names = [...text.matchAll(form)].flatMap(([, list]) => list ?? [])
  let isFirst = true
  return text.replace(form, () => {
    if (!isFirst) return ''
    isFirst = false
    return names.length === 0 ? "import './shared.js';" : `import { ${names.join(', ')} } from './shared.js';`
  })
}

/**
 * Makes the package smaller: comments and levels of indentation are for readers of the sources, to whose lines the source maps
 * lead.
 */
function shrink(): void {
  for (const file of globSync('dist/*.js')) {
    const text = readFileSync(file, 'utf8')
    const { dropped, texts } = linesOf(text)
    const keep = <Line>(lines: readonly Line[]) => lines.filter((_, index) => !dropped.has(index))
    const lines = text.split('\n').map((line, index) => (texts.has(index) ? line : line.replace(/^ +/, ' ')))
    writeFileSync(file, keep(lines).join('\n'))
    const { sources, mappings } = JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMap
    writeFileSync(
      `${file}.map`,
      JSON.stringify({ version: 3, sources, names: [], mappings: encode(keep(decode(mappings)).map(firstOfEachLine)) }),
    )
  }
}

/** The lines, counted from 0, that no program needs, and those that begin within a text. */
function linesOf(text: string): { readonly dropped: ReadonlySet<number>; readonly texts: ReadonlySet<number> } {
  const lines = text.split('\n')
  const dropped = new Set<number>()
  const texts = new Set<number>()
  parse(text, {
    ecmaVersion: 'latest',
    sourceType: 'module',
    locations: true,
    onToken({ type, loc }) {
      if (type.label !== 'template') return
      for (let line = loc!.start.line; line < loc!.end.line; line++) texts.add(line)
    },
    onComment(isBlock, comment, _start, _end, from, to) {
      const before = lines[from!.line - 1]!.slice(0, from!.column)
      const after = lines[to!.line - 1]!.slice(to!.column)
      // Others tell bundlers what to leave alone, or name the map, which tsup does twice.
      const isRepeated = lines.lastIndexOf(lines[to!.line - 1]!) >= to!.line
      const isForReaders = isBlock ? comment.startsWith('*') : !comment.startsWith('#') || isRepeated
      if (!isForReaders || before.trim() !== '' || after.trim() !== '') return
      for (let line = from!.line; line <= to!.line; line++) dropped.add(line - 1)
    },
  })
  for (const [index, line] of lines.entries()) if (line === '' && !texts.has(index)) dropped.add(index)
  return { dropped, texts }
}

/** Maps name files and lines. The text of the sources, and a mapping for each word, would double the package. */
function firstOfEachLine(segments: readonly SourceMapSegment[]): SourceMapSegment[] {
  const ofLines = segments.filter(([, source, line], at) => {
    const before = segments[at - 1]
    return before === undefined || before[1] !== source || before[2] !== line
  })
  return ofLines.map(([column, source, line], at) => {
    return source === undefined || line === undefined ? [column] : [at === 0 ? 0 : column, source, line, 0]
  })
}

interface SourceMap {
  readonly sources: readonly string[]
  readonly mappings: string
}

export default defineConfig(config) as Options
