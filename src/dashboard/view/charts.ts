import { bisectCenter, ticks } from 'd3-array'
import { pathRound } from 'd3-path'
import type { PageDocument, PagePoint } from '../document.ts'
import { number } from '../format.ts'
import { html, type Markup } from '../html.ts'
import { type Chart, charts } from '../series.ts'

/** A point of the history at the end of its slice, in seconds since 1970. */
interface Moment {
  readonly at: number
  readonly point: PagePoint
}

interface Shown {
  readonly moments: readonly Moment[]
  readonly moment: Moment | undefined
  readonly isPointed: boolean
  readonly span: readonly [start: number, end: number]
  /** Lines are interrupted where there was nothing for longer than this. */
  readonly gap: number
}

/** Size of a drawing in its own units. The browser stretches it to the size of its frame. */
const width = 1_000
const height = 400

/**
 * The charts, with the values of the latest point or of the one under the pointer.
 *
 * @param pointedAt - the time under the pointer, in seconds since 1970
 */
export function drawCharts(document: PageDocument, pointedAt?: number): Markup {
  const moments = momentsOf(document)
  const index =
    pointedAt === undefined
      ? moments.length - 1
      : bisectCenter(
          moments.map(({ at }) => at),
          pointedAt,
        )
  const shown: Shown = {
    moments,
    moment: moments[index],
    isPointed: pointedAt !== undefined,
    span: spanOf(moments),
    gap: sliceSeconds(document) * 2.5,
  }
  return html`<section id="charts" aria-label="Charts">${charts.map((chart) => figure(chart, shown))}</section>`
}

/** The time at a share (0..1) of a chart's width. */
export function pointedTime(document: PageDocument, share: number): number {
  const [start, end] = spanOf(momentsOf(document))
  return start + share * (end - start)
}

/** A window has 60 slices. */
function sliceSeconds({ window_ms }: PageDocument): number {
  return window_ms / 60_000
}

function momentsOf(document: PageDocument): Moment[] {
  const now = Date.parse(document.generated_at) / 1_000
  return (document.history ?? []).map((point) => ({
    at: Math.min(now, Date.parse(point.at) / 1_000 + sliceSeconds(document)),
    point,
  }))
}

function figure(chart: Chart, { moments, moment, isPointed, span: [start, end], gap }: Shown): Markup {
  const { title, unit, format, series } = chart
  const marks = marksOf(chart, moments)
  const top = marks.at(-1) as number
  const x = (at: number) => (width * (at - start)) / (end - start)
  const y = (value: number) => height - (height * value) / top
  const lines = series.map(({ colour, dashed, value }) => {
    const points = moments.map(({ at, point }) => ({ at, value: value(point) }))
    return html`<path class="${colour}${dashed && ' dashed'}" d="${lineThrough(points, gap, x, y)}"></path>`
  })
  const grid = marks.map((mark) => `M0 ${y(mark)}H${width}`).join('')
  return html`<figure><figcaption>${title} <span class="note">${
    isPointed && moment !== undefined ? `at ${timeOf(moment.at)}` : unit
  }</span></figcaption><ul>${series.map(
    ({ colour, label, dashed, value }) =>
      html`<li><i class="${colour}${dashed && ' dashed'}"></i>${label} <b>${format(
        moment === undefined ? null : value(moment.point),
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

/** A line that is interrupted where values are missing. A value on its own is a dot. */
function lineThrough(
  points: readonly Point[],
  gap: number,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  const path = pathRound(0)
  let last: number | undefined
  for (const { at, value } of points) {
    if (value === null) {
      last = undefined
      continue
    }
    if (last === undefined || at - last > gap) path.moveTo(x(at), y(value))
    path.lineTo(x(at), y(value))
    last = at
  }
  return path.toString()
}

/** At least the last minute, so that a new page does not stretch two points over the width. */
function spanOf(moments: readonly Moment[]): readonly [start: number, end: number] {
  const end = moments.at(-1)?.at ?? 0
  return [Math.min(moments[0]?.at ?? end, end - 60), end]
}

/** Round values from 0 up to the first one that is not below the highest value. */
function marksOf({ least, series }: Chart, moments: readonly Moment[]): number[] {
  const top = moments.reduce(
    (most, { point }) => Math.max(most, ...series.map(({ value }) => value(point) ?? 0)),
    least,
  )
  const [first = 0, second = top] = ticks(0, top, 3)
  const step = second - first
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, index) => index * step)
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().slice(11, 19)
}
