import { execFileSync } from 'node:child_process'
import { globSync, statSync } from 'node:fs'

/** Builds `dist/` once for the package's tests when it is missing or older than the sources. */
export default function buildWhenStale(): void {
  const newest = (files: readonly string[]) => Math.max(0, ...files.map((file) => statSync(file).mtimeMs))
  const sources = newest([...globSync('src/**/*.ts'), 'package.json', 'tsup.config.ts'])
  const built = ['dist/index.js', 'dist/index.d.ts']
    .flatMap((file) => globSync(file))
    .map((file) => statSync(file).mtimeMs)
  if (built.length === 2 && Math.min(...built) > sources) return
  execFileSync(process.execPath, ['node_modules/tsup/dist/cli-default.js', '--silent'], { stdio: 'inherit' })
}
