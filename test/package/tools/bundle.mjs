// Bundles every file of `entries/` with one bundler, into `out/`: node bundle.mjs <bundler> <project folder>
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

const [bundler, folder] = process.argv.slice(2)
const entries = Object.fromEntries(
  readdirSync(join(folder, 'entries')).map((file) => [basename(file, '.js'), join(folder, 'entries', file)]),
)
const outdir = join(folder, 'out')

const bundlers = {
  async 'esbuild as ESM'() {
    const { build } = await import('esbuild')
    await build({ ...forEsbuild(), format: 'esm', splitting: true })
  },
  async 'esbuild as CommonJS'() {
    const { build } = await import('esbuild')
    await build({ ...forEsbuild(), format: 'cjs', outExtension: { '.js': '.cjs' }, minify: true })
  },
  async Rollup() {
    const { rollup } = await import('rollup')
    const { nodeResolve } = await import('@rollup/plugin-node-resolve')
    const { default: commonjs } = await import('@rollup/plugin-commonjs')
    const { default: json } = await import('@rollup/plugin-json')
    const plugins = [nodeResolve({ exportConditions: ['node'] }), commonjs(), json()]
    const bundle = await rollup({ input: entries, plugins, external: [/^node:/], onwarn: refuse })
    await bundle.write({ dir: outdir, format: 'es', entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' })
  },
  async Vite() {
    const { build } = await import('vite')
    await build({
      root: folder,
      logLevel: 'error',
      configFile: false,
      ssr: { noExternal: true },
      build: {
        ssr: true,
        outDir: outdir,
        rollupOptions: { input: entries, output: { entryFileNames: '[name].mjs' }, onwarn: refuse },
      },
    })
  },
  async webpack() {
    const { default: webpack } = await import('webpack')
    const stats = await new Promise((resolve, reject) => {
      webpack(
        {
          mode: 'production',
          target: 'node22',
          context: folder,
          entry: entries,
          output: { path: outdir, filename: '[name].cjs' },
          // One minifier is enough, and esbuild's takes a hundredth of the time.
          optimization: { minimize: false },
        },
        (error, result) => (error ? reject(error) : resolve(result)),
      )
    })
    const { errors, warnings } = stats.toJson({ errors: true, warnings: true })
    for (const { message } of [...errors, ...warnings]) refuse({ message })
  },
}

function forEsbuild() {
  return { entryPoints: entries, outdir, bundle: true, platform: 'node', target: 'node22', logLevel: 'error' }
}

/** A package that makes a bundler warn is not done. What other packages do, such as `eval`, is theirs. */
function refuse({ message }) {
  if (message.includes('node_modules/') && !message.includes('node_modules/posthaste/')) return
  console.error(message)
  process.exitCode = 1
}

await bundlers[bundler]()
