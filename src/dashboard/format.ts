import type { PageDocument } from './document.ts'

/** Shown instead of a value that was not measured. */
export const nothing = '–'

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** 1,234,567 */
export function whole(value: number | null): string {
  return value === null ? nothing : grouped.format(value)
}

/** Three significant digits below 1,000, whole numbers above: 0.0412, 41.9, 1,250. */
export function number(value: number | null): string {
  if (value === null) return nothing
  return Math.abs(value) < 1_000 ? three.format(value) : grouped.format(value)
}

/** Two or three digits, for a column of a table: 0.04, 7.20, 41.9, 1,250. */
export function decimal(value: number | null): string {
  if (value === null) return nothing
  if (value > 0 && value < 0.005) return '<0.01'
  if (value === 0 || value >= 99.95) return grouped.format(value)
  return value.toFixed(value < 9.995 ? 2 : 1)
}

/** A percentage from 0 to 100, with its sign. */
export function percent(value: number | null): string {
  if (value === null) return nothing
  if (value > 0 && value < 0.01) return '<0.01%'
  return `${value < 10 ? Math.round(value * 100) / 100 : value < 100 ? Math.round(value * 10) / 10 : Math.round(value)}%`
}

/** A share from 0 to 1, as a percentage. */
export function share(value: number | null): string {
  return percent(value === null ? null : value * 100)
}

/** 3.5 MiB */
export function bytes(value: number | null): string {
  if (value === null) return nothing
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10))
  return `${number(value / 1_024 ** power)} ${units[power]}`
}

/** A length of time in its two largest units: 1 h 28 min. */
export function span(valueMs: number): string {
  const seconds = Math.max(0, Math.round(valueMs / 1_000))
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first === -1) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}

type Coverage = Pick<PageDocument, 'window_ms' | 'covered_ms'>

/** What the window covers: `last 5 min`, or less soon after the start. */
export function coverage(document: Coverage): string {
  const { window_ms, covered_ms } = document
  const covered = coveredSpan(document)
  return covered === span(window_ms) ? `last ${covered}` : `last ${span(covered_ms)}, of up to ${span(window_ms)}`
}

/** A full window is up to one sixtieth shorter than its name says, because it slides in slices. */
export function coveredSpan({ window_ms, covered_ms }: Coverage): string {
  return span(covered_ms >= (window_ms * 59) / 60 ? window_ms : covered_ms)
}

/** `12:04:59 UTC` from an ISO 8601 time, the same on the server and in any browser. */
export function clockTime(iso: string): string {
  return `${iso.slice(11, 19)} UTC`
}

/** The time from `iso` to `now`: 3 min 20 s ago. */
export function ago(iso: string, now: string): string {
  return `${span(Date.parse(now) - Date.parse(iso))} ago`
}
