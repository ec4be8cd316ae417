export type { ContentCoding, Encoding, OnEncoded } from './http/compression/codecs.ts'
export {
  CompressedJSONResponse,
  type CompressedJSONResponseInit,
  compressJson,
  type JsonAnswer,
} from './http/compression/compress-json.ts'
export {
  type CompressOptions,
  type Compressor,
  createCompressor,
  type EncodedBody,
  type EncodedStream,
} from './http/compression/compressor.ts'
export type {
  CompressibleHead,
  CompressibleRequest,
  EncodedHead,
  SkipReason,
} from './http/compression/encoding-plan.ts'
export { negotiateEncoding } from './http/compression/negotiate-encoding.ts'
export type { FreshnessOptions, StampStore } from './http/freshness/freshness.ts'
export type { FetchHandler } from './http/response-cache/fetch-cache.ts'
export type { HttpCacheOptions, ResponseStore } from './http/response-cache/http-cache-options.ts'
export { ClientInputError, PosthasteError, type ProblemDetails, problemDetails } from './shared/errors.ts'
export type { RequestScope } from './shared/scope/request-scope.ts'
export { requestScope } from './shared/scope/work.ts'
export type { Duration } from './shared/time/duration.ts'
