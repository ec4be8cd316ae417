import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { importsOf } from '../support/imports.ts'

const faces = [
  'index',
  'pagination',
  'cache',
  'monitor',
  'batch',
  'database',
  'http',
  'express',
  'fastify',
  'hono',
] as const
const frameworks = ['express', 'fastify', 'hono']

/** Packages that a built file imports, directly or through its chunks. */
function packagesOf(file: string, seen: Set<string> = new Set()): string[] {
  if (seen.has(file)) return []
  seen.add(file)
  return importsOf(file).flatMap(({ to, kind }) => {
    if (kind === 'type') return []
    return to.startsWith('dist/') ? packagesOf(to, seen) : [to]
  })
}

describe.each(faces)('the %s face', (face) => {
  it('exports exactly these names', async () => {
    const code = `import * as face from './dist/${face}.js'; console.log(JSON.stringify(Object.keys(face).sort()))`
    const names = JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }),
    ) as string[]
    await expect(`${names.join('\n')}\n`).toMatchFileSnapshot(`./exports/${face}.txt`)
  })

  it('carries no code of a framework that is not its own', () => {
    const foreign = packagesOf(`dist/${face}.js`).filter((name) =>
      frameworks.some((other) => other !== face && name.startsWith(other)),
    )
    expect(foreign).toEqual([])
  })

  it('names no optional peer in its declarations', () => {
    const { peerDependenciesMeta } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      peerDependenciesMeta: Record<string, unknown>
    }
    const optional = Object.keys(peerDependenciesMeta).filter((name) => name !== face || face === 'express')
    const named = declarationsOf(`dist/${face}.d.ts`).filter((name) =>
      optional.some((peer) => name === peer || name.startsWith(`${peer}/`)),
    )
    expect(named).toEqual([])
  })
})

function declarationsOf(file: string, seen: Set<string> = new Set()): string[] {
  if (seen.has(file)) return []
  seen.add(file)
  return importsOf(file).flatMap(({ to }) => {
    return to.startsWith('dist/') ? declarationsOf(to.replace(/\.js$/, '.d.ts'), seen) : [to]
  })
}
