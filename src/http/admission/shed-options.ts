import type { Priority } from '../../monitor/admission/admission.ts'
import { expectOptions, expectWholeNumber, type OptionKinds } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'

/** Options of `shedLoad`. `Request` is the framework's own. */
export interface ShedOptions<Request = unknown> {
  /**
   * The longest wait for the handler while the server has more requests than it can serve. Requests that would wait longer are
   * turned away at once. A burst that the server can work off may wait seven times as long. @defaultValue `'100ms'`
   */
  readonly maxWait?: Duration | undefined
  /**
   * How many requests may be in flight. `'auto'` finds a limit for each kind of request, once those become slow and pile up at the
   * same time; a number is a limit for all of them together; `false` sets no limit. @defaultValue `'auto'`
   */
  readonly concurrency?: 'auto' | number | false | undefined
  /**
   * How much a request matters; called only when the server has to choose. `low` is turned away first, `critical` never. What it
   * throws counts as `normal`, with a warning. @defaultValue `'normal'` for all
   */
  readonly priority?: ((request: Request) => Priority) | undefined
  /**
   * The least `Retry-After` of a response that turns a request away, in whole seconds. Each response gets up to three times as much,
   * at random, so that clients do not come back together. @defaultValue `'1s'`
   */
  readonly retryAfter?: Duration | undefined
}

/** Options with their defaults filled in. */
export interface ShedSettings<Request> {
  readonly maxWaitMs: number
  readonly concurrency: 'auto' | number | false
  readonly priority: ((request: Request) => Priority) | undefined
  readonly retryAfterSeconds: number
}

/** @throws TypeError or RangeError when an option is invalid */
export function resolveShedOptions<Request>(options: ShedOptions<Request>): ShedSettings<Request> {
  expectOptions(options, shedOptions)
  const { maxWait = '100ms', concurrency = 'auto', priority, retryAfter = '1s' } = options
  const maxWaitMs = parseDuration(maxWait, 'maxWait')
  if (maxWaitMs <= 0) throw new RangeError('Expected `maxWait` to be longer than 0ms')
  if (concurrency !== 'auto' && concurrency !== false) expectWholeNumber(concurrency, 'concurrency', { min: 1 })
  const retryAfterSeconds = Math.max(1, Math.ceil(parseDuration(retryAfter, 'retryAfter') / 1_000))
  return { maxWaitMs, concurrency, priority, retryAfterSeconds }
}

const shedOptions: OptionKinds<ShedOptions> = {
  maxWait: 'own',
  concurrency: 'own',
  priority: 'function',
  retryAfter: 'own',
}
