import { describe, expect, it } from 'vitest'
import { History } from '../../src/dashboard/history.ts'
import { drawCharts, pointedTime } from '../../src/dashboard/view/charts.ts'
import { document } from './fixture.ts'

const start = Date.parse('2026-01-05T12:00:00.000Z')

/** A history of documents at these seconds, each with the requests that had ended by then. */
function historyOf(
  moments: readonly { readonly second: number; readonly total?: number }[],
  window_ms = 300_000,
): History {
  const history = new History()
  const { requests } = document()
  for (const { second, total = 0 } of moments) {
    const generated_at = new Date(start + second * 1_000).toISOString()
    history.add(document({ generated_at, window_ms, requests: { ...requests, total } }))
  }
  return history
}

const valuesOf = (history: History, chart: string) =>
  history.moments.map(({ values }) => values.get(chart)?.[0] ?? null)
const secondsOf = (history: History) => history.moments.map(({ at }) => at - start / 1_000)

describe('the history of a page', () => {
  it('has the requests that ended between two documents, and the mean of the window before the first', () => {
    const history = historyOf([
      { second: 0, total: 100 },
      { second: 1, total: 130 },
      { second: 3, total: 150 },
    ])
    expect(valuesOf(history, 'requests')).toEqual([document().requests.per_second, 30, 10])
  })

  it('has no negative rate when a member has left the fleet', () => {
    const history = historyOf([
      { second: 0, total: 100 },
      { second: 1, total: 40 },
    ])
    expect(valuesOf(history, 'requests')[1]).toBe(0)
  })

  it('forgets what is older than the window', () => {
    const history = historyOf(
      [0, 1, 2, 3, 4, 5, 6].map((second) => ({ second })),
      3_000,
    )
    expect(secondsOf(history)).toEqual([3, 4, 5, 6])
  })

  it('has a hole where nothing was seen for more than five seconds', () => {
    const history = historyOf([{ second: 0 }, { second: 5 }, { second: 11 }])
    expect(secondsOf(history)).toEqual([0, 5, 6, 11])
    expect(valuesOf(history, 'in-flight')).toEqual([3, 3, null, 3])
    const [, path] = /class="teal" d="([^"]*)"/.exec(drawCharts(history).text) ?? []
    expect(path).toMatch(/^M[^ML]*L[^ML]*M[^ML]*$/)
  })
})

describe('the charts', () => {
  const chartOf = (history: History, title: string, pointedAt?: number) =>
    drawCharts({ moments: history.moments, pointedAt })
      .text.split('<figure>')
      .find((figure) => figure.includes(`>${title} <`)) ?? ''

  it('have a scale from 0 to a round number above all values', () => {
    const history = historyOf([
      { second: 0, total: 0 },
      { second: 1, total: 437 },
    ])
    const marks = [...chartOf(history, 'Requests').matchAll(/<span>([\d.,]+)<\/span>/g)].map(([, mark]) => Number(mark))
    expect(marks.at(-1)).toBe(0)
    expect(marks[0]).toBe(600)
    expect(marks.toReversed()).toEqual(marks.toSorted((a, b) => a - b))
  })

  it('are empty while nothing was seen yet, under the pointer too', () => {
    const pointedAt = pointedTime([], 0.5)
    const figure = chartOf(new History(), 'Requests', pointedAt)
    expect(figure).toContain('<b>–</b>')
    expect(figure).not.toContain('class="pointer"')
    expect(figure).not.toContain('NaN')
  })

  it('show the values nearest to the pointer', () => {
    const history = historyOf([
      { second: 0, total: 0 },
      { second: 1, total: 10 },
      { second: 2, total: 30 },
    ])
    expect(chartOf(history, 'Requests')).toContain('<b>20.0</b>')
    const pointed = chartOf(history, 'Requests', start / 1_000 + 1.2)
    expect(pointed).toContain('<b>10.0</b>')
    expect(pointed).toContain('at 12:00:01')
  })
})
