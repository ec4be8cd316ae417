import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OpenRequests } from '../../../src/monitor/traffic/open-requests.ts'

/** Few stamps, so that many are equal or displaced by each other, and any stamps. */
const stamps = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.double({ noDefaultInfinity: true }).map((stamp) => stamp + 0),
  fc.double({ min: 1.7e12, max: 1.7e12 + 1 }),
)

describe('open requests', () => {
  it('are those that were added and not removed, whatever is removed', () => {
    const command = fc.record({
      kind: fc.constantFrom('add', 'add', 'remove', 'exclude', 'remove excluded'),
      stamp: stamps,
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400, size: 'max' }), (commands) => {
        const open = new OpenRequests()
        const model: { stamp: number; original: object; isExcluded: boolean }[] = []
        for (const { kind, stamp } of commands) {
          open.stamp[0] = stamp
          const same = model.filter((entry) => entry.stamp === stamp)
          if (kind === 'add' && !Number.isNaN(stamp)) {
            const original = { stamp }
            model.push({ stamp, original, isExcluded: false })
            open.add({ original, method: 'GET', route: '/', isLongLived: false })
          } else if (kind === 'exclude') {
            // Of several with one stamp, the table may have removed another one than the model.
            const remaining = originalsOf(open)
            const entry = same.find(({ original, isExcluded }) => !isExcluded && remaining.has(original))
            if (entry === undefined) continue
            open.exclude(entry.original)
            entry.isExcluded = true
          } else if (kind.startsWith('remove')) {
            const wantsExcluded = kind === 'remove excluded'
            open.remove(wantsExcluded)
            const entry = same.find(({ isExcluded }) => isExcluded === wantsExcluded) ?? same[0]
            if (entry !== undefined) model.splice(model.indexOf(entry), 1)
          }
        }
        const counted = model.filter(({ isExcluded }) => !isExcluded)
        expect(open.size).toBe(counted.length)
        const startedAt: number[] = []
        open.forEachBefore(Infinity, (stamp) => startedAt.push(stamp))

        expect(startedAt.sort((a, b) => a - b)).toEqual(counted.map(({ stamp }) => stamp).sort((a, b) => a - b))
      }),
      { numRuns: Number(process.env.RUNS ?? 200) },
    )
  })
})

function originalsOf(open: OpenRequests): Set<object | undefined> {
  const originals = new Set<object | undefined>()
  open.forEachBefore(Infinity, (_, request) => originals.add(request?.original))
  return originals
}
