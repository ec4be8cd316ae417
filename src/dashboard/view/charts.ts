import { bisectCenter, ticks } from 'd3-array'
import { pathRound } from 'd3-path'
import { number } from '../format.ts'
import type { Moment } from '../history.ts'
import { html, type Markup } from '../html.ts'
import { type Chart, charts } from '../series.ts'

/** What the charts draw. */
export interface ChartsOptions {
  readonly moments: readonly Moment[]
  /** The moment under the pointer, in seconds. */
  readonly pointedAt?: number | undefined
}

/** Of a drawing, which its frame stretches to its own size. */
const width = 1_000
const height = 100

/** The charts with the values of the latest moment, or of the one under the pointer. Without JavaScript they are not seen. */
export function drawCharts({ moments, pointedAt }: ChartsOptions): Markup {
  const index =
    pointedAt === undefined
      ? moments.length - 1
      : bisectCenter(
          moments.map(({ at }) => at),
          pointedAt,
        )
  const shown = { moments, moment: moments[index], isPointed: pointedAt !== undefined, span: spanOf(moments) }
  return html`<section id="charts" class="scripted" aria-label="Charts">${charts.map((chart) => figure(chart, shown))}</section>`
}

/** The time under the pointer. */
export function pointedTime(moments: readonly Moment[], share: number): number {
  const [start, end] = spanOf(moments)
  return start + share * (end - start)
}

interface Shown {
  readonly moments: readonly Moment[]
  readonly moment: Moment | undefined
  readonly isPointed: boolean
  readonly span: readonly [start: number, end: number]
}

function figure(chart: Chart, { moments, moment, isPointed, span: [start, end] }: Shown): Markup {
  const { id, title, unit, format, series } = chart
  const values = moments.map(({ values }) => values.get(id))
  const marks = marksOf(chart, values)
  const top = marks.at(-1) as number
  const x = (at: number) => (width * (at - start)) / (end - start)
  const y = (value: number) => height - (height * value) / top
  const lines = series.map(({ colour, dashed }, index) => {
    const points = moments.map(({ at, values }) => ({ at, value: values.get(id)?.[index] ?? null }))
    return html`<path class="${colour}${dashed && ' dashed'}" d="${lineThrough(points, x, y)}"></path>`
  })
  const grid = marks.map((mark) => `M0 ${y(mark)}H${width}`).join('')
  return html`<figure><figcaption>${title} <span class="note">${
    isPointed && moment !== undefined ? `at ${timeOf(moment.at)}` : unit
  }</span></figcaption><ul>${series.map(
    ({ colour, label, dashed }, index) =>
      html`<li><i class="${colour}${dashed && ' dashed'}"></i>${label} <b>${format(
        moment?.values.get(id)?.[index] ?? null,
      )}</b></li>`,
  )}</ul><div class="plot"><div class="marks">${marks
    .toReversed()
    .map(
      (mark) => html`<span>${number(mark)}</span>`,
    )}</div><svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${title} over time. The latest values stand above, all others in the tables."><path class="grid" d="${grid}"></path>${lines}${
    isPointed && moment !== undefined && html`<path class="pointer" d="M${x(moment.at)} 0V${height}"></path>`
  }</svg><div class="times">${[start, (start + end) / 2, end].map((at) => html`<span>${timeOf(at)}</span>`)}</div></div></figure>`
}

interface Point {
  readonly at: number
  readonly value: number | null
}

/** A line with a hole wherever there is no value. */
function lineThrough(points: readonly Point[], x: (at: number) => number, y: (value: number) => number): string {
  const path = pathRound(1)
  let isOpen = false
  for (const { at, value } of points) {
    if (value !== null && isOpen) path.lineTo(x(at), y(value))
    else if (value !== null) path.moveTo(x(at), y(value))
    isOpen = value !== null
  }
  return path.toString()
}

/** The last minute at least, so that a page that was just opened does not stretch two points over its width. */
function spanOf(moments: readonly Moment[]): readonly [start: number, end: number] {
  const end = moments.at(-1)?.at ?? 0
  return [Math.min(moments[0]?.at ?? end, end - 60), end]
}

/** Round values from 0 to above the highest. */
function marksOf({ least }: Chart, values: readonly (readonly (number | null)[] | undefined)[]): number[] {
  const top = values.reduce((most, each) => Math.max(most, ...(each ?? []).map((value) => value ?? 0)), least)
  const [first = 0, second = top] = ticks(0, top, 3)
  const step = second - first
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, index) => index * step)
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().slice(11, 19)
}
