import { globSync, readFileSync, writeFileSync } from 'node:fs'

/**
 * Writes the tables of options into the guides, from the docstrings of the options. A guide marks the place by
 * `<!-- options: CacheOptions -->` and `<!-- end -->`. With `--check` it writes nothing, and fails if a table is not as it should be.
 */
const marked = /(<!-- options: (\w+) -->\n).*?(<!-- end -->)/gs
const isCheck = process.argv.includes('--check')
const reference = globSync('docs/reference/*.md', { exclude: ['docs/reference/index.md'] })
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n')

for (const file of globSync('docs/**/*.md', { exclude: ['docs/reference/**'] })) {
  const text = readFileSync(file, 'utf8')
  const written = text.replace(
    marked,
    (_, start: string, name: string, end: string) => `${start}\n${tableOf(name)}\n\n${end}`,
  )
  if (written === text) continue
  if (!isCheck) writeFileSync(file, written)
  else {
    console.error(`${file} has a table of options that is out of date: run \`npm run reference\``)
    process.exitCode = 1
  }
}

/** The options of an interface of the reference: name, default and the first paragraph of its docstring. */
function tableOf(name: string): string {
  const section = reference.split(new RegExp(`^### ${name}\\b.*$`, 'm'))[1]?.split(/^(?:###|\*\*\*)(?= |$)/m)[0] ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('|'))
  const header = lines.findIndex((line) => line.startsWith('| Property'))
  if (header === -1) throw new Error(`The reference has no interface \`${name}\` with options`)
  const columns = cellsOf(lines[header] as string)
  const rows = lines.slice(header + 2).map((line) => {
    const cells = cellsOf(line)
    const cell = (column: string) => cells[columns.indexOf(column)] ?? ''
    return [optionOf(cell('Property')), defaultOf(cell('Default value')), descriptionOf(cell('Description'))]
  })
  // An option that only holds others, or a method of one, needs no row.
  const shown = rows.filter(
    (row, index) => row[2] !== '' || !(isGroup(rows[index + 1]?.[0], row[0]) || isGroup(row[0], rows[index - 1]?.[0])),
  )
  const table = [['option', 'default', 'what it does'], ['---', '---', '---'], ...shown]
  // Columns as wide as their longest cell would make the package two kilobytes larger.
  return ['<!-- biome-ignore format: narrow -->', ...table.map((row) => `| ${row.join(' | ')} |`)].join('\n')
}

function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim())
}

function optionOf(property: string): string {
  return property.replace(/<a id="[^"]*"><\/a> /, '').replace('?`', '`')
}

/** A default that is a sentence is no code, though the reference writes it as such. */
function defaultOf(value: string): string {
  if (value === '`undefined`' || value === '-') return ''
  return /^`[\w(][^`]* [^`]*`$/.test(value) ? value.slice(1, -1) : value
}

/** Without the links into the reference, which has the details. */
function descriptionOf(description: string): string {
  if (description === '-') return ''
  return description.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/ \*\*Example\*\*.*$/, '')
}

/** Whether an option only holds others, which are listed after it. */
function isGroup(next: string | undefined, name: string | undefined): boolean {
  return next?.startsWith(`${name?.slice(0, -1)}.`) ?? false
}
