import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const textOf = (pattern: string) => globSync(pattern).map((file) => readFileSync(file, 'utf8'))
const guides = [...textOf('README.md'), ...textOf('docs/*.md'), ...textOf('docs/recipes/*.md')].join('\n')
const code = [...guides.matchAll(/^```.*?^```$|`[^`\n]+`/gms)].map(([text]) => text).join('\n')

it('names every option of the reference in a guide', () => {
  const options = textOf('docs/reference/*.md')
    .flatMap((page) => page.split(/^### /m))
    .filter((section) => /^\w+(?:Options|Settings|Tuning)\n/.test(section))
    .flatMap((section) => optionsOf(section).map((option) => ({ option, of: section.split('\n', 1)[0] })))
  expect(options.length).toBeGreaterThan(150)
  expect(options.filter(({ option }) => !new RegExp(`\\b${option}\\b`).test(code))).toEqual([])
})

/** The names of the options in a section's table, and of those in a group that is written as a type: `` { `name?`: … } ``. */
function optionsOf(section: string): string[] {
  const [, table = ''] = section.split(/^\| Property .*$/m)
  return [...table.matchAll(/^\| <a id="[^"]*"><\/a> `(?:\w+\.)*(\w+)\?*`(.*)$/gm)].flatMap(
    ([, name = '', rest = '']) => [name, ...[...rest.matchAll(/`(\w+)\?`:/g)].map(([, inner = '']) => inner)],
  )
}
