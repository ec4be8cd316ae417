import type { StatsDocument } from '../../monitor/types.ts'
import { type Casing, toSnake } from '../../shared/casing.ts'
import { messageOf } from '../../shared/errors.ts'
import { yieldIfDue } from '../../shared/time/slices.ts'
import type { OnWarn } from '../../shared/warnings.ts'

/**
 * Where the keys of a document are not ours: `names` were chosen by the user, `data` is a value of the user's own, at any
 * depth. The place decides, not the text of a key: a check may be called `cache`.
 */
interface Places {
  readonly [key: string]: 'names' | 'data' | Places
}

const endpointPlaces: Places = { status: 'names' }
const documentPlaces: Places = {
  requests: { status: 'names' },
  endpoints: endpointPlaces,
  timings: 'names',
  cache: 'names',
  additions: 'data',
  checks: 'names',
}

/** A document as it is sent, in either casing. */
interface WireDocument {
  readonly endpoints: readonly object[]
  readonly additions?: Readonly<Record<string, unknown>>
  readonly database?: unknown
}

/** Returns the document with its keys in the casing. Names and data of the user's own stay as they are. */
export function withCasing(document: object, casing: Casing): unknown {
  return casing === 'camel' ? document : toSnakeKeys(document, documentPlaces)
}

/** Writes the document as JSON. It writes one endpoint at a time, so that hundreds of them do not block the event loop. */
export async function serializeStats(
  document: StatsDocument,
  casing: Casing,
  warn: OnWarn = () => {},
): Promise<string> {
  return writeWire(casing === 'camel' ? document : await toWireInTurns(document, warn), warn)
}

/** The document in its wire form, made one endpoint at a time. */
export async function toWireInTurns({ endpoints, ...rest }: StatsDocument, warn: OnWarn): Promise<WireDocument> {
  const wire: object[] = []
  for (const endpoint of endpoints) {
    wire.push(toSnakeKeys(endpoint, endpointPlaces) as object)
    await yieldIfDue()
  }
  return { ...restToWire(rest, warn), endpoints: wire }
}

function restToWire(rest: Omit<StatsDocument, 'endpoints'>, warn: OnWarn): object {
  try {
    return withCasing(rest, 'snake') as object
  } catch (error) {
    // The error is due to this section: its elements may contain themselves. All other data is ours, or is not read.
    warnOfSource('database', error, warn)
    return withCasing({ ...rest, database: null }, 'snake') as object
  }
}

/**
 * Writes a document in its wire form as JSON, one endpoint at a time.
 *
 * @param warn - told of data of the user's own that has no JSON form, such as a `bigint` or a cycle: it is left out
 */
export async function writeWire({ endpoints, ...rest }: WireDocument, warn: OnWarn): Promise<string> {
  const texts: string[] = []
  for (const endpoint of endpoints) {
    texts.push(JSON.stringify(endpoint))
    await yieldIfDue()
  }
  return `${writeRest(rest, warn).slice(0, -1)},"endpoints":[${texts.join(',')}]}`
}

function writeRest(rest: Omit<WireDocument, 'endpoints'>, warn: OnWarn): string {
  try {
    return JSON.stringify(rest)
  } catch {
    const hasJsonForm = (name: string, data: unknown) => {
      try {
        JSON.stringify(data)
        return true
      } catch (error) {
        warnOfSource(name, error, warn)
        return false
      }
    }
    const additions = Object.entries(rest.additions ?? {}).filter(([name, data]) => hasJsonForm(name, data))
    const database = hasJsonForm('database', rest.database) ? rest.database : null
    return JSON.stringify({ ...rest, database, additions: Object.fromEntries(additions) })
  }
}

function warnOfSource(name: string, error: unknown, warn: OnWarn): void {
  warn({ code: 'MONITOR_SOURCE', message: `The source '${name}' has no JSON form: ${messageOf(error)}` })
}

function toSnakeKeys(value: unknown, places: Places | 'names' | 'data' = {}): unknown {
  if (typeof value !== 'object' || value === null || places === 'data') return value
  if (Array.isArray(value)) return value.map((item) => toSnakeKeys(item, places))
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      places === 'names' ? [key, toSnakeKeys(inner)] : [toSnake(key), toSnakeKeys(inner, placeOf(places, key))],
    ),
  )
}

function placeOf(places: Places, key: string): Places | 'names' | 'data' | undefined {
  return Object.hasOwn(places, key) ? places[key] : undefined
}
