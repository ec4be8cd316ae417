import type { StatsDocument } from '../monitor/types.ts'
import { type Casing, toSnake } from '../shared/casing.ts'
import { pause } from '../shared/turns.ts'

/** Keys of the monitor's documents below which the next keys are names: of timings, caches, sources, statuses and checks. */
const nameMaps = new Set(['timings', 'cache', 'additions', 'status', 'checks'])

/** The document with its keys in the casing asked for. Names stay as they are, and so do all values. */
export function toWire(document: object, casing: Casing): unknown {
  return casing === 'camel' ? document : rename(document)
}

/** The JSON of the document's wire form, made an endpoint at a time, so that hundreds of them do not hold the event loop. */
export async function wireText({ endpoints, ...rest }: StatsDocument, casing: Casing): Promise<string> {
  const texts: string[] = []
  for (const endpoint of endpoints) {
    texts.push(JSON.stringify(toWire(endpoint, casing)))
    await pause()
  }
  return `${JSON.stringify(toWire(rest, casing)).slice(0, -1)},"endpoints":[${texts.join(',')}]}`
}

function rename(value: unknown, keysAreNames = false): unknown {
  if (Array.isArray(value)) return value.map((item) => rename(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [keysAreNames ? key : toSnake(key), rename(inner, nameMaps.has(key))]),
  )
}
