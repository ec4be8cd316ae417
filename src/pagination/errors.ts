import { ClientInputError, PosthasteError } from '../shared/errors.ts'

/** `ERR_PAGE_INVALID`: the page number or size is wrong, or does not go with a cursor. */
export class PageInvalidError extends ClientInputError {
  readonly code = 'ERR_PAGE_INVALID'
}

/** `ERR_PAGE_TOO_DEEP`: the page lies beyond `maxOffset`. */
export class PageTooDeepError extends ClientInputError {
  readonly code = 'ERR_PAGE_TOO_DEEP'
}

/** `ERR_CURSOR_INVALID`: we did not write this cursor, or it was changed since. */
export class CursorInvalidError extends ClientInputError {
  readonly code = 'ERR_CURSOR_INVALID'
}

/** `ERR_CURSOR_MISMATCH`: the cursor belongs to another order, another scope or another database. */
export class CursorMismatchError extends ClientInputError {
  readonly code = 'ERR_CURSOR_MISMATCH'
}

/** `ERR_QUERY_UNSUPPORTED`: the query cannot be paged in its present form. The message says why. */
export class QueryUnsupportedError extends PosthasteError {
  readonly code = 'ERR_QUERY_UNSUPPORTED'
}

/** `ERR_KEY_NULL`: a key that was declared as never NULL is NULL in some row. */
export class KeyNullError extends PosthasteError {
  readonly code = 'ERR_KEY_NULL'
}

/** `ERR_KEY_NOT_UNIQUE`: rows share all keys, so the `unique` key does not tell rows apart. */
export class KeyNotUniqueError extends PosthasteError {
  readonly code = 'ERR_KEY_NOT_UNIQUE'
}

/** `ERR_CURSOR_UNSTABLE`: the text of a key does not read back as the same value, so a cursor would lose or repeat rows. */
export class CursorUnstableError extends PosthasteError {
  readonly code = 'ERR_CURSOR_UNSTABLE'
}

/** One fault of a query string: the name of the parameter, and the expected values. */
export interface ListQueryIssue {
  readonly param: string
  readonly message: string
}

/** `ERR_LIST_QUERY`: the query string breaks the rules of its `listQuery`. Has all faults, not only the first. */
export class ListQueryError extends ClientInputError {
  readonly code = 'ERR_LIST_QUERY'
  readonly issues: readonly ListQueryIssue[]

  constructor(issues: readonly ListQueryIssue[]) {
    super(issues.map((issue) => issue.message).join('; '))
    this.issues = issues
  }
}
