import { afterAll, beforeAll, describe } from 'vitest'
import { describeCursors } from './cursors.ts'
import { engines, type Opened } from './engines.ts'
import { describePages } from './pages.ts'
import { describeWalks } from './walks.ts'

/** All that the pager promises on every engine, over one database, because some take seconds to start. */
export function describeEngines(...names: readonly string[]): void {
  const chosen = engines.filter(({ name }) => names.includes(name))
  for (const engine of chosen) {
    describe.skipIf(!engine.available)(engine.name, () => {
      let opened: Opened
      beforeAll(async () => {
        opened = await engine.open()
      }, 60_000)
      afterAll(() => opened.close(), 60_000)

      describe('pages', () => describePages(engine, () => opened))
      describe('cursors', () => describeCursors(engine, () => opened))
      describe('walks', () => describeWalks(engine, () => opened))
    })
  }
}
