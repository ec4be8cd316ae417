import type { SlowRequest } from './types.ts'

/** A request with the outcome `completed`. */
export interface CompletedRequest {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly durationMs: number
}

/** A duration that was recorded with `recordTiming` or `time`. */
export interface RecordedTiming {
  readonly name: string
  readonly durationMs: number
}

/** Events of the recorder. */
export interface RecorderEvents {
  request: CompletedRequest
  slow: SlowRequest
  timing: RecordedTiming
}
