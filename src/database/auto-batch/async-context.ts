import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'

/**
 * Whether two lookups were asked for with the same value in every `AsyncLocalStorage`. A connection hook may read such a
 * value, such as the tenant of the request. So lookups with different values may need connections with different
 * settings.
 *
 * @returns `undefined` when the runtime does not show the values
 */
export function haveSameContext(one: AsyncResource, other: AsyncResource): boolean | undefined {
  comparison ??= findComparison()
  return comparison(one, other)
}

type Comparison = (one: AsyncResource, other: AsyncResource) => boolean | undefined

let comparison: Comparison | undefined

type Stores = ReadonlyMap<unknown, unknown>

/** Tries each known way instead of checking Node's version: the symbols of its resources are not documented. */
function findComparison(): Comparison {
  const [storage, value] = [new AsyncLocalStorage<object>(), {}]
  const inside = storage.run(value, () => new AsyncResource('posthaste'))
  const frame = Object.getOwnPropertySymbols(inside).find(({ description }) => description === 'context_frame')
  if (frame !== undefined && framesOf(frame, inside)?.get(storage) === value) return compareFrames(frame)
  return [...symbolStores(inside).values()].includes(value) ? compareSymbols : () => undefined
}

/** Node 24 keeps the values in one map, and makes a new map when one of them changes. */
function compareFrames(symbol: symbol): Comparison {
  return (one, other) => {
    const [frame, otherFrame] = [framesOf(symbol, one), framesOf(symbol, other)]
    return frame === otherFrame || areSame(definedIn(frame), definedIn(otherFrame))
  }
}

function framesOf(symbol: symbol, resource: AsyncResource): Stores | undefined {
  return read(resource, symbol) as Stores | undefined
}

function definedIn(frame: Stores = new Map()): Stores {
  return new Map([...frame].filter(([, value]) => value !== undefined))
}

/** Before Node 24, each storage keeps its value under a symbol of its own. */
const compareSymbols: Comparison = (one, other) => areSame(symbolStores(one), symbolStores(other))

function symbolStores(resource: AsyncResource): Stores {
  const stores = new Map<unknown, unknown>()
  for (const symbol of Object.getOwnPropertySymbols(resource)) {
    const value = symbol.description === 'kResourceStore' ? read(resource, symbol) : undefined
    if (value !== undefined) stores.set(symbol, value)
  }
  return stores
}

function read(resource: AsyncResource, symbol: symbol): unknown {
  return (resource as unknown as Record<symbol, unknown>)[symbol]
}

function areSame(stores: Stores, others: Stores): boolean {
  if (stores.size !== others.size) return false
  for (const [key, value] of stores) {
    const other = others.get(key)
    if (!Object.is(value, other) && !(isTrace(value) && isTrace(other))) return false
  }
  return true
}

/** Whether the value is a context of OpenTelemetry. Each traced GraphQL resolver has its own. */
function isTrace(value: unknown): boolean {
  const context = value as { getValue?: unknown; setValue?: unknown; deleteValue?: unknown } | null | undefined
  return (
    typeof context === 'object' &&
    typeof context?.getValue === 'function' &&
    typeof context.setValue === 'function' &&
    typeof context.deleteValue === 'function'
  )
}
