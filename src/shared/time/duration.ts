import { describeValue } from '../arguments.ts'

/**
 * A length of time with its unit: `'250ms'`, `'2s'`, `'5m'`, `'1h'`, `'7d'`. A number without a unit is an error, because
 * some libraries mean seconds and others mean milliseconds.
 */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * Converts a {@link Duration} to milliseconds.
 *
 * @param option - the option's name, for the message
 * @throws TypeError if the value is not a duration
 */
export function parseDuration(value: unknown, option: string): number {
  const ms = durationToMs(value)
  if (ms === undefined) {
    throw new TypeError(`Expected \`${option}\` to be a duration like '250ms' or '5m', got ${describeValue(value)}`)
  }
  return ms
}

/** Converts a {@link Duration} to milliseconds. Any other value becomes `undefined`. */
export function durationToMs(value: unknown): number | undefined {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|[smhd])$/.exec(value) : null
  if (match === null) return undefined
  const ms = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
  return Number.isSafeInteger(Math.ceil(ms)) ? ms : undefined
}
