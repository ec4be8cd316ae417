// shared
export type { Casing } from './shared/casing.ts'
export type { Clock } from './shared/clock.ts'
export type { Duration } from './shared/duration.ts'
export { type Settings, settingsFromEnv } from './shared/env.ts'
export {
  ClientInputError,
  ClosedError,
  PeerMissingError,
  PosthasteError,
  type ProblemDetails,
  problemDetails,
} from './shared/errors.ts'
export type { OnWarn, Warning } from './shared/warnings.ts'

// pagination

// cache

// monitor

// batch

// database

// http
