import fc from 'fast-check'
import theirMap, { pMapSkip as theirSkip } from 'p-map'
import { BatchError, batchProcess } from 'posthaste/batch'
import { expect, it } from 'vitest'
import { snippetsOf } from '../support/snippets.ts'

type Fate = 'value' | 'skip' | 'throw'
interface Item {
  readonly fate: Fate
  /** Of the calls that run, the one with the lowest rank ends next. */
  readonly rank: number
}
type Mapper = (item: Item, index: number) => Promise<unknown>
interface Options {
  readonly concurrency: number
  readonly stopOnError: boolean
}
type MapItems = (items: readonly Item[], mapper: Mapper, options: Options) => Promise<unknown>

const [shim] = snippetsOf('docs/migration/p-map.md').filter(({ language }) => language === 'js')
const code = shim?.code.replace(/^import .*$/m, '').replaceAll('export ', '')
const { pMap, pMapSkip } = new Function('BatchError', 'batchProcess', `${code}; return { pMap, pMapSkip }`)(
  BatchError,
  batchProcess,
) as { readonly pMap: MapItems; readonly pMapSkip: symbol }

const item = fc.record({ fate: fc.constantFrom<Fate>('value', 'value', 'skip', 'throw'), rank: fc.integer() })
const options = fc.record({
  concurrency: fc.constantFrom(1, 2, 3, Number.POSITIVE_INFINITY),
  stopOnError: fc.boolean(),
})

it('the shim that the page of p-map shows settles as p-map does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(item, { maxLength: 8 }), options, async (items, given) => {
      const theirs = await settle(theirMap as MapItems, theirSkip, items, given)
      expect(await settle(pMap, pMapSkip, items, given)).toEqual(theirs)
    }),
  )
})

/** How a call settles; errors are told by the index of their item. */
async function settle(map: MapItems, skip: symbol, items: readonly Item[], given: Options): Promise<unknown> {
  const running = new Map<number, () => void>()
  let outcome: object | undefined
  const mapper: Mapper = async ({ fate }, index) => {
    await new Promise<void>((end) => running.set(index, end))
    if (fate === 'throw') throw index
    return fate === 'skip' ? skip : index
  }
  map(items, mapper, given).then(
    (results) => {
      outcome = { results }
    },
    (error: unknown) => {
      outcome = { failed: error instanceof AggregateError ? error.errors.toSorted() : error }
    },
  )
  do {
    await new Promise(setImmediate)
    const [next] = [...running.keys()].toSorted((a, b) => (items[a]?.rank ?? 0) - (items[b]?.rank ?? 0) || a - b)
    if (next === undefined) continue
    running.get(next)?.()
    running.delete(next)
  } while (outcome === undefined || running.size > 0)
  return outcome
}
