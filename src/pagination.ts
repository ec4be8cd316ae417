export { countRows } from './pagination/count.ts'
export {
  CursorInvalidError,
  CursorMismatchError,
  CursorUnstableError,
  KeyNotUniqueError,
  KeyNullError,
  ListQueryError,
  type ListQueryIssue,
  PageInvalidError,
  PageTooDeepError,
  QueryUnsupportedError,
} from './pagination/errors.ts'
export type { PageExplanation } from './pagination/explain/explain-page.ts'
export { type LinkedPage, linkHeader } from './pagination/link-header.ts'
export type { Field, FieldOptions, Fields, JsonSchema } from './pagination/list-query/field.ts'
export {
  date,
  flag,
  type IntOptions,
  int,
  manyOf,
  oneOf,
  type TextOptions,
  text,
} from './pagination/list-query/fields.ts'
export { listQuery } from './pagination/list-query/list-query.ts'
export type { SortSpec, SortSpecs } from './pagination/list-query/sort.ts'
export type {
  ListQuery,
  ListQueryInput,
  ListQueryNames,
  ListQueryOptions,
  ParsedListQuery,
} from './pagination/list-query/types.ts'
export { type PageSchemaOptions, pageSchema } from './pagination/page-schema.ts'
export {
  createPaginator,
  cursorPaginate,
  expectSeek,
  explainPage,
  type Paginator,
  type PaginatorOptions,
  paginate,
  readChunks,
  readRows,
  relayConnection,
} from './pagination/paginator.ts'
export type {
  Chunk,
  ChunkReader,
  Connection,
  ConnectionArguments,
  CursorPage,
  CursorPaginateOptions,
  ExplainOptions,
  JumpTarget,
  NullsPlacement,
  OrderOptions,
  Page,
  PaginateOptions,
  ReadOptions,
  RelayConnectionOptions,
  RowReader,
  SortDirection,
  SortKey,
  SqlDialect,
  Total,
  TotalKind,
  UniqueKey,
} from './pagination/types.ts'
export type { Casing } from './shared/casing.ts'
export { ClientInputError, PosthasteError, type ProblemDetails, problemDetails } from './shared/errors.ts'
export type { OnWarn, Warning } from './shared/warnings.ts'
