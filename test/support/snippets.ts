import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import ts from 'typescript'

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

/**
 * Type errors of snippets, each a module of its own below the repository's compiler options.
 *
 * @param preamble - declarations that every snippet may use, such as `db`
 */
export function typeErrors(snippets: readonly Snippet[], preamble = ''): string[] {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, resolve('.'))
  const sources = new Map(
    snippets.map(({ code }, index) => [resolve(`snippet-${index}.ts`), `${preamble}\n${code}\nexport {}\n`]),
  )
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
  const offset = preamble.split('\n').length
  return [...sources.keys()].flatMap((file, index) => {
    const source = program.getSourceFile(file)
    if (source === undefined) return [`${file} was not read`]
    const problems = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return problems.map(({ start = 0, messageText }) => {
      const line = source.getLineAndCharacterOfPosition(start).line - offset
      return `${snippets[index]?.at} + ${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
    })
  })
}
