import { execFile } from 'node:child_process'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type BuildOptions, build } from 'esbuild'
import { createProject, type Project } from '../../package/support/packed.ts'
import { cases, type RuntimeName } from '../suite/index.ts'

const folder = resolve('test/runtimes/node_modules')
const runFile = promisify(execFile)

/** Whether the runtimes are installed: `npm run test:runtimes` does it. */
export const hasRuntimes: boolean = existsSync(join(folder, 'miniflare'))

/** The date that the workers of the suite are compatible with; `docs/runtimes.md` names it. */
export const compatibilityDate = '2026-03-17'

/** The result of each case by its name: what it threw, or `null`. */
export type Results = Readonly<Record<string, string | null>>

interface Runtime {
  readonly entry: string
  readonly run: (project: Project, file: string) => Promise<Results>
}

export const runtimes: Readonly<Record<RuntimeName, Runtime>> = {
  node22: node(join(folder, 'node/bin/node'), '--experimental-sqlite'),
  node24: node(process.execPath),
  node26: node(join(folder, 'node26/bin/node')),
  bun: { entry: 'bun', run: (project, file) => runProcess(project, join(folder, '.bin/bun'), [file]) },
  deno: {
    entry: 'deno',
    run: (project, file) => runProcess(project, join(folder, '.bin/deno'), [...denoArguments, file]),
  },
  workers: { entry: 'worker', run: runWorker },
}

/** No `--allow-env` and no `--allow-sys`: what needs them is left out. */
const denoArguments = ['run', '--no-prompt', '--allow-net=127.0.0.1', '--node-modules-dir=manual']

function node(binary: string, ...flags: readonly string[]): Runtime {
  return { entry: 'node', run: (project, file) => runProcess(project, binary, [...flags, '--no-warnings', file]) }
}

const packages = ['hono', 'kysely', '@hono/node-server', `kysely-d1=${join(folder, 'kysely-d1')}`]

/** Runs the suite in a runtime, against the packed build. */
export async function runSuite(name: RuntimeName): Promise<Results> {
  const { entry, run } = runtimes[name]
  const project = createProject({ packages })
  try {
    const names = ['posthaste', ...packages.map((entry) => entry.split('=')[0] as string)]
    const dependencies = Object.fromEntries(names.map((dependency) => [dependency, '*']))
    project.write('package.json', JSON.stringify({ type: 'module', dependencies }))
    cpSync('test/runtimes/suite', join(project.folder, 'suite'), { recursive: true })
    await build({
      absWorkingDir: project.folder,
      entryPoints: [`suite/${entry}.ts`],
      outfile: join(project.folder, 'suite.mjs'),
      bundle: true,
      format: 'esm',
      target: 'es2022',
      logLevel: 'error',
      ...(name === 'workers' ? bundledForWorkers : { packages: 'external', external: ['bun:*'] }),
    })
    return await run(project, join(project.folder, 'suite.mjs'))
  } finally {
    project.remove()
  }
}

/** As `wrangler` bundles. */
const bundledForWorkers: BuildOptions = {
  conditions: ['workerd', 'worker'],
  platform: 'node',
  external: ['cloudflare:*'],
}

async function runProcess(project: Project, binary: string, args: readonly string[]): Promise<Results> {
  const { stdout, stderr } = await runFile(binary, args, { cwd: project.folder, timeout: 60_000 }).catch(
    (error) => error,
  )
  const line = String(stdout)
    .split('\n')
    .find((one) => one.startsWith('RESULTS '))
  if (line === undefined) throw new Error(`The suite did not end:\n${stdout}\n${stderr}`)
  return JSON.parse(line.slice('RESULTS '.length)) as Results
}

interface Miniflare {
  dispatchFetch(url: string): Promise<{ json(): Promise<unknown> }>
  dispose(): Promise<void>
}

async function runWorker(_project: Project, path: string): Promise<Results> {
  const { Miniflare, kCurrentWorker } = createRequire(`${folder}/`)('miniflare') as {
    Miniflare: new (options: object) => Miniflare
    kCurrentWorker: unknown
  }
  const worker = new Miniflare({
    modules: [{ type: 'ESModule', path: 'suite.mjs', contents: readFileSync(path, 'utf8') }],
    compatibilityDate,
    compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
    serviceBindings: { SELF: kCurrentWorker },
    d1Databases: ['DB'],
  })
  try {
    const results: Record<string, string | null> = {}
    for (const [index, { name, lacking }] of cases.entries()) {
      if (lacking.workers !== undefined) continue
      const answer = await worker.dispatchFetch(`http://suite/run/${index}`)
      results[name] = ((await answer.json()) as { error: string | null }).error
    }
    return results
  } finally {
    await worker.dispose()
  }
}
