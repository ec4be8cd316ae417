import { execFileSync } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hasTools, pack, packed } from './support/packed.ts'

/** Builds `dist/` and packs it, unless both are newer than the sources. Says loudly what is missing. */
export default function setup(): void {
  if (!hasTools) {
    const message = 'SKIPPED: compilers, bundlers and Jest are not installed. `npm run tools` installs them.'
    if (process.env.REQUIRE_SERVICES === '1') throw new Error(message)
    console.warn(`\n  ${message}\n`)
  }
  const times = (pattern: string) => globSync(pattern).map((file) => statSync(file).mtimeMs)
  const newest = Math.max(...['src/**/*.ts', 'package.json', 'tsup.config.ts', 'scripts/*.ts'].flatMap(times))
  const oldest = (...files: readonly string[]) => Math.min(...files.map((file) => times(file)[0] ?? 0))
  if (oldest('dist/index.js', 'dist/index.d.ts') < newest) {
    execFileSync(process.execPath, ['node_modules/tsup/dist/cli-default.js', '--silent'], { stdio: 'inherit' })
  }
  if (oldest(join(packed, 'package.json')) < oldest('dist/index.js', 'dist/index.d.ts')) pack()
}
