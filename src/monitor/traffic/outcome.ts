/**
 * How a request ended. Only completed requests enter percentiles, statuses and rates. The others are counted separately: the
 * durations of aborted requests, event streams and WebSockets do not measure how fast the server responds.
 */
export type Outcome = 'completed' | 'aborted' | 'stream' | 'upgrade' | 'shed'

/** Number of requests of an endpoint that ended in this way since the start. */
export interface OtherOutcome {
  readonly method: string
  readonly route: string
  readonly outcome: Exclude<Outcome, 'completed'>
  readonly count: number
}
