import { expectWholeNumber } from '../shared/assertions.ts'
import { PageInvalidError } from './errors.ts'

/** The sizes that a paginator gives: unless it is asked for one, and at most. */
export interface PageSizes {
  readonly default: number
  readonly max: number
}

/**
 * A whole number that a client gave.
 *
 * @throws PageInvalidError when it is none within the range, because then it is the client's to correct
 */
export function expectFromClient(value: unknown, option: string, max?: number): number {
  try {
    return expectWholeNumber(value, option, { min: 1, max })
  } catch (cause) {
    throw new PageInvalidError((cause as Error).message, { cause })
  }
}
