import { ClientInputError, PosthasteError } from '../shared/errors.ts'

/** `ERR_PAGE_INVALID`: a page number, a page size or their combination with a cursor that makes no sense. */
export class PageInvalidError extends ClientInputError {
  readonly code = 'ERR_PAGE_INVALID'
}

/** `ERR_PAGE_TOO_DEEP`: the page lies beyond `maxOffset`. */
export class PageTooDeepError extends ClientInputError {
  readonly code = 'ERR_PAGE_TOO_DEEP'
}

/** `ERR_CURSOR_INVALID`: the text is no cursor of ours, or was changed since. */
export class CursorInvalidError extends ClientInputError {
  readonly code = 'ERR_CURSOR_INVALID'
}

/** `ERR_CURSOR_MISMATCH`: the cursor belongs to another order, another scope or another database. */
export class CursorMismatchError extends ClientInputError {
  readonly code = 'ERR_CURSOR_MISMATCH'
}

/** `ERR_QUERY_UNSUPPORTED`: the query cannot be paged as it is written; the message says why. */
export class QueryUnsupportedError extends PosthasteError {
  readonly code = 'ERR_QUERY_UNSUPPORTED'
}

/** `ERR_KEY_NULL`: a key that was declared as never NULL is NULL in some row. */
export class KeyNullError extends PosthasteError {
  readonly code = 'ERR_KEY_NULL'
}

/** One fault of a query string: the parameter as it is written there, and what was expected of it. */
export interface ListQueryIssue {
  readonly param: string
  readonly message: string
}

/** `ERR_LIST_QUERY`: the query string breaks the rules of its `listQuery`. Holds all faults, not the first alone. */
export class ListQueryError extends ClientInputError {
  readonly code = 'ERR_LIST_QUERY'
  readonly issues: readonly ListQueryIssue[]

  constructor(issues: readonly ListQueryIssue[]) {
    super(issues.map((issue) => issue.message).join('; '))
    this.issues = issues
  }
}
