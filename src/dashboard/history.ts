import type { PageDocument } from './document.ts'
import { charts } from './series.ts'

/** What the charts show at one moment: a list of values for each chart, one for each of its series. */
export interface Moment {
  /** Seconds since 1970. */
  readonly at: number
  readonly values: ReadonlyMap<string, readonly (number | null)[]>
}

/** No chart is that many pixels wide. */
const maxMoments = 1_500
/** A hole as wide as this is a hole in the lines too. */
const gapSeconds = 5

/** The values of the charts since the page was opened, a window long at most. */
export class History {
  readonly #moments: Moment[] = []
  #latest: PageDocument | undefined

  get moments(): readonly Moment[] {
    return this.#moments
  }

  get latest(): PageDocument | undefined {
    return this.#latest
  }

  add(document: PageDocument): void {
    const moment = momentOf(document, this.#latest)
    const last = this.#moments.at(-1)
    if (last !== undefined && moment.at - last.at > gapSeconds)
      this.#moments.push({ at: last.at + 1, values: new Map() })
    this.#moments.push(moment)
    this.#latest = document
    const oldest = moment.at - document.window_ms / 1_000
    while ((this.#moments[0] as Moment).at < oldest || this.#moments.length > maxMoments) this.#moments.shift()
  }
}

function momentOf(document: PageDocument, previous: PageDocument | undefined): Moment {
  return {
    at: Date.parse(document.generated_at) / 1_000,
    values: new Map(charts.map(({ id, series }) => [id, series.map(({ value }) => value(document, previous))])),
  }
}
