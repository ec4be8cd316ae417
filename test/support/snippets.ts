import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import ts from 'typescript'
import * as library from '../../src/index.ts'

/** A block of code in a document. */
export interface Snippet {
  /** The document and the line of its first line, as `README.md:12`. */
  readonly at: string
  readonly language: string
  readonly code: string
}

/** The fenced blocks of a Markdown document. */
export function snippetsOf(file: string): Snippet[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/^```(\w+)[^\n]*\n(.*?)^```$/gms)].map(({ 1: language = '', 2: code = '', index }) => ({
    at: `${file}:${text.slice(0, index).split('\n').length + 1}`,
    language,
    code,
  }))
}

/** A name that is not declared, alone, as a type or in `{ name }`; what follows from it: parameters without a type; `return`. */
const takenFromAround: ReadonlySet<number> = new Set([2304, 2503, 2552, 2582, 2593, 18004, 7006, 7031, 1108])

/**
 * Type errors of snippets, each a module of its own below the repository's compiler options. What a snippet takes from the page
 * around it, a `db` or an `app`, is not known here and is no error; what it says of our names is.
 */
export function typeErrors(snippets: readonly Snippet[]): string[] {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, resolve('.'))
  const modules = new Map(snippets.map(({ code }, index) => [resolve(`snippet-${index}.ts`), `${code}\nexport {}\n`]))
  // The names that need a type, because they are what the pages are about: ours too where a snippet does not import them.
  const around = resolve('around-snippets.d.ts')
  const declared = [
    "declare const db: import('kysely').Kysely<any>",
    ...Object.keys(library).map((name) => `declare const ${name}: typeof import('posthaste').${name}`),
  ]
  const sources = new Map([...modules, [around, declared.join('\n')]])
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = (file) => sources.get(file) ?? readFile.call(host, file)
  host.fileExists = (file) => sources.has(file) || fileExists.call(host, file)
  host.getSourceFile = (file, ...rest) => {
    const text = sources.get(file)
    return text === undefined
      ? getSourceFile.call(host, file, ...rest)
      : ts.createSourceFile(file, text, ts.ScriptTarget.Latest)
  }
  const program = ts.createProgram(
    [...sources.keys()],
    { ...options, isolatedDeclarations: false, declaration: false },
    host,
  )
  return [...modules.keys()].flatMap((file, index) => {
    const source = program.getSourceFile(file)
    if (source === undefined) return [`${file} was not read`]
    const problems = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return problems
      .filter(({ code }) => !takenFromAround.has(code))
      .map(({ start = 0, messageText }) => {
        const { line } = source.getLineAndCharacterOfPosition(start)
        return `${snippets[index]?.at} + ${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
      })
  })
}
