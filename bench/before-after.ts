import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCities } from '../examples/cities/database.ts'
import { compareServers } from './support/servers-under-load.ts'

/** Pages of a hundred cities of all countries and of five, to a depth of 5,000 rows, in an order that jumps. */
const paths = Array.from({ length: 300 }, (_, at) => {
  const country = ['', '&country=US', '&country=DE', '&country=IN', '&country=CN', '&country=ES'][at % 6] ?? ''
  return `/cities?page=${1 + ((at * 17) % 50)}&per_page=100${country}`
})

/**
 * The large list of the cities with the largest one of each one's region: written as it is written first (OFFSET, a count a page, a
 * query a row, uncached, uncompressed) and with this library. The client accepts compressed answers, as browsers do.
 */
export default async function beforeAfter(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-bench-'))
  try {
    openCities(folder).close()
    const ways = ['by hand', 'posthaste, nothing cached', 'posthaste']
    return await compareServers({ script: './cities-list-server.ts', ways, paths, place: folder })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
