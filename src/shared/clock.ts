/**
 * Milliseconds since 1970, with fractions, never going back. Everything that measures or ages takes one, so that a test
 * can move time by hand.
 */
export type Clock = () => number

/** The process's monotonic clock, counted from 1970. Changes of the system's time after the start do not reach it. */
export const systemClock: Clock = () => performance.timeOrigin + performance.now()
