import { type Duration, parseDuration } from '../shared/duration.ts'
import { LoadTimeoutError } from './errors.ts'
import type { FairDeadline } from './fair-deadline.ts'
import { expectTags } from './resolve-call.ts'
import type { LoadContext } from './types.ts'

/** What a load returned, and what it said about it. */
export interface Loaded {
  readonly value: unknown
  readonly ttlMs: number | undefined
  readonly isSkipped: boolean
  readonly costMs: number
}

/**
 * Runs a load within the deadline and until it is aborted.
 *
 * @throws LoadTimeoutError when it is late, the signal's reason when it is aborted, and what the load throws
 */
export async function runLoad(
  load: (ctx: LoadContext) => unknown,
  tags: Set<string>,
  stale: LoadContext['stale'],
  controller: AbortController,
  deadline: FairDeadline,
): Promise<Loaded> {
  const startedAt = performance.now()
  let ttlMs: number | undefined
  let isSkipped = false
  const ctx: LoadContext = {
    signal: controller.signal,
    stale,
    tag(...names: string[]) {
      for (const name of expectTags(names)) tags.add(name)
    },
    ttl(ttl: Duration) {
      ttlMs = parseDuration(ttl, 'ttl')
    },
    skip() {
      isSkipped = true
    },
  }
  const late = () => new LoadTimeoutError(`\`load\` took longer than \`timeouts.loadHard\`, ${deadline.ms} ms`)
  const work = Promise.race([(async () => load(ctx))(), rejectOnAbort(controller.signal)])
  try {
    const value = await deadline.race(work, late)
    return { value, ttlMs, isSkipped, costMs: performance.now() - startedAt }
  } catch (error) {
    if (error instanceof LoadTimeoutError) controller.abort(error)
    throw error
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
