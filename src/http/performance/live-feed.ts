export interface LiveFeedOptions {
  /** Makes the text that all clients get. */
  readonly render: () => Promise<string>
  /** Called when `render` fails, which ends all streams. */
  readonly onError: (error: unknown) => void
  /** The shortest time between two renders. */
  readonly intervalMs: number
  /** How long the stream of a client may last. */
  readonly lifetimeMs: number
  /** A client that has not read its text for this long is let go. */
  readonly patienceMs: number
}

/** What happens to the stream of one client. */
export interface StreamEvents {
  /** Checked before and after each wait; `true` ends the stream. */
  readonly isOver?: () => boolean
  /** Called when the client does not read, to close its connection. */
  readonly onStuck?: () => void
  /** Called once, however the stream has ended. */
  readonly onEnd?: () => void
}

/**
 * Renders one text per interval for all clients, and none while no client waits. A client gets the newest text when it has
 * read the one before, so a slow client skips texts and delays nobody. A stream ends after its lifetime and the browser asks
 * again, so that authorization is checked again and a forgotten page does not keep a closing server open.
 */
export class LiveFeed {
  readonly #options: LiveFeedOptions
  readonly #waiting = new Set<(text: string | undefined) => void>()
  #clients = 0
  #text: Promise<string | undefined> | undefined
  #isRendering = false
  #renderedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(options: LiveFeedOptions) {
    this.#options = options
  }

  /** How many clients follow the feed now. */
  get clients(): number {
    return this.#clients
  }

  /** Follows the feed, beginning with its current text. A client may leave at any time, even while it waits for a text. */
  follow({ isOver = () => false, onStuck = () => {}, onEnd = () => {} }: StreamEvents = {}): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => this.#openStream({ isOver, onStuck, onEnd }) }
  }

  #openStream({ isOver, onStuck, onEnd }: Required<StreamEvents>): AsyncIterator<string, undefined> {
    const { lifetimeMs, patienceMs } = this.#options
    const end = performance.now() + lifetimeMs
    let hasFirstText = false
    let hasLeft = false
    let stopWaiting = () => {}
    let patience: NodeJS.Timeout | undefined
    this.#clients++
    const leave = () => {
      clearTimeout(patience)
      if (!hasLeft) {
        hasLeft = true
        this.#clients--
        onEnd()
      }
      stopWaiting()
      return { done: true, value: undefined } as const
    }
    return {
      next: async () => {
        clearTimeout(patience)
        if (hasLeft || isOver() || performance.now() >= end) return leave()
        const text = await (hasFirstText
          ? this.#nextText((stop) => {
              stopWaiting = stop
            })
          : this.#currentText())
        hasFirstText = true
        if (hasLeft || isOver() || text === undefined) return leave()
        // The next text is asked for when the client has read this one.
        patience = setTimeout(() => {
          leave()
          onStuck()
        }, patienceMs).unref()
        return { done: false, value: text }
      },
      return: async () => leave(),
    }
  }

  #currentText(): Promise<string | undefined> {
    const isFresh = performance.now() - this.#renderedAt < this.#options.intervalMs
    return this.#text !== undefined && isFresh ? this.#text : this.#render()
  }

  #nextText(onWait: (stop: () => void) => void): Promise<string | undefined> {
    return new Promise((resolve) => {
      const settle = (text: string | undefined) => {
        this.#waiting.delete(settle)
        if (this.#waiting.size === 0) {
          clearTimeout(this.#timer)
          this.#timer = undefined
        }
        resolve(text)
      }
      this.#waiting.add(settle)
      onWait(() => settle(undefined))
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#timer !== undefined) return
    const wait = Math.max(0, this.#renderedAt + this.#options.intervalMs - performance.now())
    this.#timer = setTimeout(async () => {
      this.#timer = undefined
      const text = await this.#render()
      for (const settle of [...this.#waiting]) settle(text)
    }, wait).unref()
  }

  #render(): Promise<string | undefined> {
    if (this.#isRendering && this.#text !== undefined) return this.#text
    this.#renderedAt = performance.now()
    this.#isRendering = true
    this.#text = this.#options
      .render()
      .catch((error: unknown) => {
        this.#options.onError(error)
        return undefined
      })
      .finally(() => {
        this.#isRendering = false
      })
    return this.#text
  }
}
