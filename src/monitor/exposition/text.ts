import { pause } from '../../shared/turns.ts'
import type { Family, Sample } from './families.ts'

/** Pieces are handed over when they are that long. */
const pieceLength = 16_384

/**
 * Metrics as text, a piece at a time and never holding the event loop: Prometheus text format 0.0.4, or OpenMetrics 1.0.
 * They differ in the end, and in how counters are named.
 */
export async function* exposeText(families: Iterable<Family>, openMetrics: boolean): AsyncGenerator<string> {
  let piece = ''
  for (const family of families) {
    let header = headerOf(family, openMetrics)
    for (const sample of family.samples) {
      piece += `${header}${family.name}${lineOf(sample)}\n`
      header = ''
      if (piece.length >= pieceLength) {
        yield piece
        piece = ''
      }
      await pause()
    }
  }
  yield openMetrics ? `${piece}# EOF\n` : piece
}

/**
 * In OpenMetrics the family of a counter has no `_total`, and `promtool check metrics`, which knows the older format only,
 * then misses the help of the lines. Without a type both take the lines as they are.
 */
function headerOf({ name, type, help }: Family, openMetrics: boolean): string {
  const typeLine = openMetrics && type === 'counter' ? '' : `# TYPE ${name} ${type}\n`
  return `# HELP ${name} ${escapeHelp(help)}\n${typeLine}`
}

function lineOf({ suffix = '', labels = {}, value }: Sample): string {
  const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escapeLabel(text)}"`)
  return `${suffix}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
