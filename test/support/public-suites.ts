import { globSync } from 'node:fs'
import { importsOf } from './imports.ts'

/** The suites that use the library by its public names alone: they can run against the packed build too. */
export function publicSuites(): string[] {
  return globSync('test/**/*.test.ts', { exclude: ['test/{house,package,runtimes}/**'] })
    .filter(usesFacesOnly)
    .sort()
}

/** Whether a suite uses the library by public names only, itself and through the files of `test/` that it imports. */
function usesFacesOnly(suite: string): boolean {
  const seen = new Set<string>()
  let usesFaces = false
  let usesSources = false
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const { to, kind } of importsOf(file)) {
      if (kind === 'type') continue
      if (/^posthaste(\/|$)/.test(to)) usesFaces = true
      else if (to.startsWith('src/')) usesSources = true
      else if (to.startsWith('test/') || to.startsWith('examples/')) visit(to)
    }
  }
  visit(suite)
  return usesFaces && !usesSources
}
