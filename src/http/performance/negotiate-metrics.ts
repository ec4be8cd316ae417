interface Match {
  readonly quality: number
  /** 2 for the type itself, 1 for `text/*`, 0 for everything. */
  readonly precision: number
  readonly place: number
}

/**
 * Whether a scraper that sends this `Accept` header prefers OpenMetrics 1.0 to the text format 0.0.4 (RFC 9110, 12.5.1). Prometheus
 * names versions and other parameters, and lists a format once for each version.
 */
export function prefersOpenMetrics(accept: string | undefined): boolean {
  const ranges = (accept ?? '').split(',').map(parseRange)
  const openMetrics = findMatch(ranges, 'application/openmetrics-text', '1.0.0')
  const text = findMatch(ranges, 'text/plain', '0.0.4')
  // Somebody who accepts everything is a person, or a tool that knows the older format.
  if (openMetrics === undefined || openMetrics.precision < 2 || openMetrics.quality === 0) return false
  if (text === undefined || openMetrics.quality !== text.quality) return openMetrics.quality > (text?.quality ?? 0)
  return text.precision < 2 || openMetrics.place < text.place
}

interface Range {
  readonly type: string
  readonly version: string | undefined
  readonly quality: number
}

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const values = new Map(
    parameters.map((parameter) => {
      const [name = '', value = ''] = parameter.split('=', 2)
      return [name.trim(), value.trim().replace(/^"(.*)"$/, '$1')] as const
    }),
  )
  const quality = Number(values.get('q') ?? 1)
  return { type, version: values.get('version'), quality: quality >= 0 && quality <= 1 ? quality : 0 }
}

/** The most precise range that includes the format; of several, the one with the highest quality. */
function findMatch(ranges: readonly Range[], type: string, version: string): Match | undefined {
  const wildcard = type.replace(/\/.*/, '/*')
  const matches = ranges.flatMap((range, place): Match[] => {
    if (range.version !== undefined && range.version !== version) return []
    const precision = ['*/*', wildcard, type].indexOf(range.type)
    return precision === -1 ? [] : [{ quality: range.quality, precision, place }]
  })
  return matches.sort((a, b) => b.precision - a.precision || b.quality - a.quality || a.place - b.place)[0]
}
