/** The text as a regular expression that matches it alone. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** A regular expression, without its anchors, for the plain digits of the whole numbers of a range. */
export function rangePattern(min: number, max: number): string {
  const negative = min < 0 ? spans(Math.max(1, -max), -min).map((span) => `-${span}`) : []
  const positive = max >= 0 ? spans(Math.max(0, min), max) : []
  return [...negative, ...positive].join('|')
}

/** `1..250` is `[1-9]`, `[1-9]\d`, `1\d{2}|2[0-4]\d|250`: a span for each number of digits. */
function spans(min: number, max: number): string[] {
  const patterns: string[] = []
  for (let from = min; from <= max; from = 10 ** String(from).length) {
    const last = Math.min(max, 10 ** String(from).length - 1)
    patterns.push(...sameLength(String(from), String(last)))
  }
  return patterns
}

/** Numbers of equal length, split where the first digit leaves the digits behind it free. */
function sameLength(from: string, to: string): string[] {
  const [low = '', high = ''] = [from[0], to[0]]
  const rest = from.length - 1
  if (/^0*$/.test(from.slice(1)) && /^9*$/.test(to.slice(1))) return [`${digit(low, high)}${free(rest)}`]
  if (low === high) return sameLength(from.slice(1), to.slice(1)).map((tail) => low + tail)
  const between = Number(low) + 1 < Number(high) ? [digit(add(low, 1), add(high, -1)) + free(rest)] : []
  return [...sameLength(from, low + '9'.repeat(rest)), ...between, ...sameLength(high + '0'.repeat(rest), to)]
}

function digit(low: string, high: string): string {
  return low === high ? low : `[${low}-${high}]`
}

function free(count: number): string {
  return count === 0 ? '' : `[0-9]{${count}}`
}

function add(figure: string, step: number): string {
  return String(Number(figure) + step)
}
