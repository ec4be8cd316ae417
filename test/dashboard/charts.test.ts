import { describe, expect, it } from 'vitest'
import type { PagePoint } from '../../src/dashboard/document.ts'
import { drawCharts, pointedTime } from '../../src/dashboard/view/charts.ts'
import { document, historyUntil } from './fixture.ts'

const end = '2026-01-05T12:05:00.000Z'
const start = Date.parse(end) / 1_000

/** A document whose history has these changes of an ordinary point, one each five seconds. */
function documentOf(changes: readonly Partial<PagePoint>[]) {
  const [point] = historyUntil(end) as [PagePoint]
  const history = changes.map((change, place) => ({
    ...point,
    at: new Date((start - (changes.length - place) * 5) * 1_000).toISOString(),
    ...change,
  }))
  return document({ generated_at: end, history })
}

const figureOf = (text: string, title: string) =>
  text.split('<figure>').find((figure) => figure.includes(`>${title} <`)) ?? ''
const lineOf = (text: string, title: string) => /class="blue" d="([^"]*)"/.exec(figureOf(text, title))?.[1] ?? ''

describe('the charts', () => {
  it('are full at once: the server knows the whole window', () => {
    const text = drawCharts(document()).text
    expect(lineOf(text, 'Latency').split('L')).toHaveLength(61)
    expect(figureOf(text, 'Latency')).toMatch(/<span>12:00:05<\/span>.*<span>12:04:59<\/span>/)
  })

  it('have a scale from 0 to a round number above all values', () => {
    const text = drawCharts(documentOf([{ per_second: 12 }, { per_second: 437 }])).text
    const marks = [...figureOf(text, 'Requests').matchAll(/<span>([\d.,]+)<\/span>/g)].map(([, mark]) => Number(mark))
    expect(marks.at(-1)).toBe(0)
    expect(marks[0]).toBe(600)
    expect(marks.toReversed()).toEqual(marks.toSorted((a, b) => a - b))
  })

  it('interrupt a line where nothing was measured, and show a value on its own as a dot', () => {
    const latency = (p50: number | null): Partial<PagePoint> => ({ latency_ms: { p50, p95: p50, p99: p50 } })
    const text = drawCharts(documentOf([latency(1), latency(2), latency(null), latency(3), latency(null)])).text
    expect(lineOf(text, 'Latency')).toMatch(/^M[^ML]*L[^ML]*L[^ML]*M([^ML]*)L\1$/)
  })

  it('interrupt all lines where there is no slice', () => {
    const points = documentOf(Array.from({ length: 20 }, () => ({})))
    const history = points.history?.filter((_, place) => place < 5 || place > 15) ?? []
    expect(lineOf(drawCharts({ ...points, history }).text, 'Requests').split('M')).toHaveLength(3)
  })

  it('are empty without a history, under the pointer too', () => {
    for (const history of [null, []]) {
      const empty = document({ history })
      const figure = figureOf(drawCharts(empty, pointedTime(empty, 0.5)).text, 'Requests')
      expect(figure).toContain('<b>–</b>')
      expect(figure).not.toContain('class="pointer"')
      expect(figure).not.toContain('NaN')
    }
  })

  it('show the values nearest to the pointer', () => {
    const points = documentOf([{ per_second: 0 }, { per_second: 10 }, { per_second: 20 }])
    expect(figureOf(drawCharts(points).text, 'Requests')).toContain('<b>20.0</b>')
    const pointed = figureOf(drawCharts(points, start - 5.8).text, 'Requests')
    expect(pointed).toContain('<b>10.0</b>')
    expect(pointed).toContain('at 12:04:55')
  })
})
