/** A regular expression that matches this text only. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** A regular expression, without anchors, that matches the whole numbers of a range in plain digits. */
export function rangePattern(min: number, max: number): string {
  const negative = min < 0 ? spans(Math.max(1, -max), -min).map((span) => `-${span}`) : []
  const positive = max >= 0 ? spans(Math.max(0, min), max) : []
  return [...negative, ...positive].join('|')
}

/** Splits a range by the number of digits: `1..250` becomes `[1-9]`, `[1-9][0-9]`, `1[0-9]{2}`, `2[0-4][0-9]` and `250`. */
function spans(min: number, max: number): string[] {
  const patterns: string[] = []
  for (let from = min; from <= max; from = 10 ** String(from).length) {
    const last = Math.min(max, 10 ** String(from).length - 1)
    patterns.push(...sameLength(String(from), String(last)))
  }
  return patterns
}

/** Splits a range of equally long numbers, so that after the first digits any others may follow. */
function sameLength(from: string, to: string): string[] {
  const [low = '', high = ''] = [from[0], to[0]]
  const rest = from.length - 1
  if (/^0*$/.test(from.slice(1)) && /^9*$/.test(to.slice(1))) return [`${digit(low, high)}${anyDigits(rest)}`]
  if (low === high) return sameLength(from.slice(1), to.slice(1)).map((tail) => low + tail)
  const between = Number(low) + 1 < Number(high) ? [digit(add(low, 1), add(high, -1)) + anyDigits(rest)] : []
  return [...sameLength(from, low + '9'.repeat(rest)), ...between, ...sameLength(high + '0'.repeat(rest), to)]
}

function digit(low: string, high: string): string {
  return low === high ? low : `[${low}-${high}]`
}

function anyDigits(count: number): string {
  return count === 0 ? '' : `[0-9]{${count}}`
}

function add(figure: string, step: number): string {
  return String(Number(figure) + step)
}

/**
 * Matches dates of the Gregorian calendar, alone or with a time and its offset (RFC 3339, section 5.6, but the seconds may
 * be left out). It knows leap years and the lengths of months: `Date` would take February 30 for March 1. Years are 1 to
 * 9999, also in UTC.
 */
export const datePattern: RegExp = /* @__PURE__ */ buildDatePattern()

function buildDatePattern(): RegExp {
  const days31 = '(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])'
  const days30 = '(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)'
  const february = '02-(?:0[1-9]|1\\d|2[0-8])'
  const leapYear = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
  const day = `(?:\\d{4}-(?:${days31}|${days30}|${february})|${leapYear}-02-29)`
  const time = '(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d{1,9})?)?'
  const offset = '(?:Z|[+-](?:0\\d|1[0-4]):[0-5]\\d)'
  return new RegExp(`^(?!0000|0001-01-01T.*\\+|9999-12-31T.*-)${day}(?:T${time}${offset})?$`, 'u')
}
