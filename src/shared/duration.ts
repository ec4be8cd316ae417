import { describeValue } from './assertions.ts'

/**
 * A length of time with its unit: `'250ms'`, `'2s'`, `'5m'`, `'1h'`, `'7d'`. A bare number is refused, because half of
 * this field reads it as seconds and the other half as milliseconds.
 */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * Milliseconds of a {@link Duration}.
 *
 * @param value - what the caller gave
 * @param option - its name, for the message
 * @throws TypeError when it is no duration
 */
export function parseDuration(value: unknown, option: string): number {
  const ms = durationToMs(value)
  if (ms === undefined) {
    throw new TypeError(`Expected \`${option}\` to be a duration like '250ms' or '5m', got ${describeValue(value)}`)
  }
  return ms
}

/** Milliseconds of a {@link Duration}, and `undefined` when the value is none. */
export function durationToMs(value: unknown): number | undefined {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|[smhd])$/.exec(value) : null
  if (match === null) return undefined
  const ms = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
  return Number.isSafeInteger(Math.ceil(ms)) ? ms : undefined
}
