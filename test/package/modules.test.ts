import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { importsOf, readImports } from '../support/imports.ts'
import { packed } from './support/packed.ts'

const files = globSync(join(packed, 'dist/**/*.js'))

describe('the packed modules', () => {
  it('import what the sources import, by the same names', () => {
    const packagesOf = (imports: readonly { to: string; kind: string }[]) =>
      [...new Set(imports.filter(({ to, kind }) => kind !== 'type' && !isFile(to)).map(({ to }) => to))].sort()
    // Packages that the page's build takes in are not imported any more.
    const ofSources = readImports().filter(
      ({ from, to }) => !from.startsWith('src/dashboard/client/') && !/^d3-/.test(to),
    )
    expect(packagesOf(files.flatMap((file) => importsOf(file)))).toEqual(packagesOf(ofSources))
  })

  it('can be transformed to CommonJS: no `import.meta`, no `await` at the top level', () => {
    const found = files.flatMap((file) => {
      const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
      return [...moduleOnly(source, source)]
    })
    expect(found).toEqual([])
  })

  // Each file costs time on every start of a program.
  it.each([
    ['index', 22, ['negotiator', 'vary', 'content-type']],
    ['cache', 10, []],
    ['monitor', 6, []],
    ['batch', 3, []],
    ['pagination', 4, []],
    ['database', 6, []],
    ['http', 6, ['negotiator', 'vary', 'content-type']],
  ])(
    'load little when %s is imported: at most %d files, of packages besides Kysely %j, and nothing heavy of Node',
    (face, most, packages) => {
      const { own, others, heavy } = JSON.parse(
        execFileSync(process.execPath, ['--input-type=module', '-e', countFiles], {
          encoding: 'utf8',
          env: { ...process.env, FACE: join(packed, `dist/${face}.js`) },
        }),
      ) as Record<'others' | 'heavy', string[]> & { own: number }
      expect(own).toBeLessThanOrEqual(most)
      expect(others.sort()).toEqual([...packages].sort())
      expect(heavy).toEqual([])
    },
  )

  it('have next to nothing at module level that a bundler must keep', async () => {
    const { outputFiles } = await build({
      // By path, so that nothing but the code itself says that it has no effect.
      stdin: { contents: `import ${JSON.stringify(join(packed, 'dist/index.js'))}`, resolveDir: packed },
      plugins: [
        {
          name: 'as if package.json said nothing',
          setup(bundler) {
            bundler.onResolve({ filter: /^[./]/ }, ({ path, resolveDir }) => ({
              path: path.startsWith('/') ? path : join(resolveDir, path),
              sideEffects: true,
            }))
            bundler.onResolve({ filter: /^[^./]/ }, ({ path }) => ({ path, external: true }))
          },
        },
      ],
      bundle: true,
      format: 'esm',
      minify: true,
      write: false,
      logLevel: 'error',
    })
    // Imports of packages and of Node, and some constants that no bundler can prove to be without effect.
    expect(outputFiles[0]?.contents.length).toBeLessThan(5_000)
  })
})

const countFiles = `
import { registerHooks } from 'node:module'
const files = []
registerHooks({ load: (url, context, next) => (url.startsWith('file:') && files.push(url), next(url, context)) })
await import(process.env.FACE)
const own = files.filter((file) => file.includes('/posthaste/dist/'))
const packages = files.filter((file) => !own.includes(file)).map((file) => /.*node_modules\\/([^/]+)/.exec(file)[1])
const heavy = process.moduleLoadList.filter((name) => /^NativeModule (?:.*undici|assert|cluster|crypto|fs\\/promises|http|internal\\/util\\/diff|stream|v8|zlib)$/.test(name))
console.log(JSON.stringify({ own: own.length, others: [...new Set(packages)].filter((name) => name !== 'kysely'), heavy }))
`

function isFile(specifier: string): boolean {
  return specifier.startsWith('src/') || specifier.startsWith('/') || specifier.endsWith('.js')
}

function* moduleOnly(node: ts.Node, source: ts.SourceFile): Generator<string> {
  if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword)
    yield `import.meta in ${source.fileName}`
  if ((ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier)) && !isInFunction(node)) {
    yield `await at the top of ${source.fileName}`
  }
  for (const child of node.getChildren(source)) yield* moduleOnly(child, source)
}

function isInFunction(node: ts.Node): boolean {
  return (
    ts.findAncestor(node, (parent) => ts.isFunctionLike(parent) || ts.isClassStaticBlockDeclaration(parent)) !==
    undefined
  )
}
