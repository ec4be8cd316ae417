import { globSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { machine } from './harness.ts'

const asked = process.argv[2] ?? ''
const own = new Set(['main', 'harness'])
const names = globSync('bench/*.ts')
  .map((file) => basename(file, '.ts'))
  .filter((name) => name.startsWith(asked) && !own.has(name))
  .sort()
if (names.length === 0) throw new Error(`There is no benchmark whose name starts with '${asked}'`)

const head = `# Results\n\n${machine()}`
const sections: string[] = []
for (const name of names) {
  console.error(`${name} ...`)
  const { default: run } = (await import(`./${name}.ts`)) as { default: () => Promise<string> }
  const section = `## ${name}\n\n${await run()}\n\nReproduce: \`npm run bench -- ${name}\``
  console.log(`\n${section}`)
  sections.push(section)
  if (asked === '') writeFileSync('bench/RESULTS.md', `${head}\n\n${sections.join('\n\n')}\n`)
}
// Some peers keep timers and connections of their own.
process.exit()
