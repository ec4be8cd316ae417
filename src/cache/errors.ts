import { PosthasteError } from '../shared/errors.ts'

/** `ERR_LOAD_TIMEOUT`: a `load` function took longer than `timeouts.loadHard`. */
export class LoadTimeoutError extends PosthasteError {
  readonly code = 'ERR_LOAD_TIMEOUT'
}
