import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

/** Every face, by what is written after `posthaste`. */
export const faces: readonly string[] = [
  'pagination',
  'cache',
  'monitor',
  'batch',
  'database',
  'http',
  'express',
  'fastify',
  'hono',
]

/** The package as npm would install it; `setup.ts` puts it there. */
export const packed: string = resolve('node_modules/.cache/packed/node_modules/posthaste')

/** Packs `dist/` with npm, and unpacks it where Node finds its dependencies. */
export function pack(): void {
  const folder = dirname(dirname(packed))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(packed, { recursive: true })
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { stdio: 'pipe' })
  execFileSync('sh', ['-c', `tar -xzf ${folder}/*.tgz -C ${packed} --strip-components=1`])
}

export interface ProjectOptions {
  readonly type?: 'module' | 'commonjs'
  /** Packages that are installed beside it, as names or as `name=folder`. */
  readonly packages?: readonly string[]
  readonly files?: Readonly<Record<string, string>>
}

export interface Project {
  readonly folder: string
  write(file: string, text: string): void
  /** What Node prints when it runs the file. */
  run(...args: readonly string[]): string
  remove(): void
}

/** A project in a temporary folder, in which the packed package, its dependencies and the named packages are installed. */
export function createProject({ type = 'module', packages = [], files = {} }: ProjectOptions = {}): Project {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-project-'))
  const write = (file: string, text: string) => {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  write('package.json', JSON.stringify({ type }))
  cpSync(packed, join(folder, 'node_modules/posthaste'), { recursive: true })
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
  for (const entry of [...Object.keys(dependencies), ...packages]) {
    const [name = '', target = resolve('node_modules', name)] = entry.split('=')
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(target, link)
  }
  for (const [file, text] of Object.entries(files)) write(file, text)
  return {
    folder,
    write,
    run: (...args: readonly string[]) => execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

const toolsFolder = resolve('test/package/tools/node_modules')

/** Whether the compilers, bundlers and test runners are installed: `npm run tools` does it. */
export const hasTools: boolean = existsSync(toolsFolder)

/** Where a package of `test/package/tools` is installed. */
export function tool(name: string): string {
  return join(toolsFolder, name)
}
