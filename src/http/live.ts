/** What a {@link LiveFeed} needs. */
export interface LiveFeedOptions {
  /** Makes the text that all clients get. */
  readonly render: () => Promise<string>
  /** Told when `render` failed, which ends the streams. */
  readonly onError: (error: unknown) => void
  /** Between two renders at least. */
  readonly intervalMs: number
  /** After which a client's stream ends. */
  readonly lifetimeMs: number
}

/**
 * One text, made anew once an interval and shared by all who follow it; nothing is made while nobody waits. Each client gets
 * the newest text when it is ready for it, so a slow one skips some and holds none back. A stream ends after a while: the
 * browser comes back, is let in or not anew, and a server that closes is not held open by a page somebody forgot.
 */
export class LiveFeed {
  readonly #options: LiveFeedOptions
  readonly #waiting = new Set<(text: string | undefined) => void>()
  #clients = 0
  #text: Promise<string | undefined> | undefined
  #isRendering = false
  #madeAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(options: LiveFeedOptions) {
    this.#options = options
  }

  /** How many follow it now. */
  get clients(): number {
    return this.#clients
  }

  /**
   * Follows the feed from its current text on. Leaving takes effect at once, even while waiting.
   *
   * @param isOver - asked before and after each wait, ends the stream early
   */
  follow(isOver: () => boolean = () => false): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => this.#client(isOver) }
  }

  #client(isOver: () => boolean): AsyncIterator<string, undefined> {
    const end = performance.now() + this.#options.lifetimeMs
    let hasBegun = false
    let hasLeft = false
    let stopWaiting = () => {}
    this.#clients++
    const leave = () => {
      if (!hasLeft) this.#clients--
      hasLeft = true
      stopWaiting()
      return { done: true, value: undefined } as const
    }
    return {
      next: async () => {
        if (hasLeft || isOver() || performance.now() >= end) return leave()
        const text = await (hasBegun
          ? this.#next((stop) => {
              stopWaiting = stop
            })
          : this.#current())
        hasBegun = true
        return hasLeft || isOver() || text === undefined ? leave() : { done: false, value: text }
      },
      return: async () => leave(),
    }
  }

  #current(): Promise<string | undefined> {
    const isFresh = performance.now() - this.#madeAt < this.#options.intervalMs
    return this.#text !== undefined && isFresh ? this.#text : this.#make()
  }

  #next(onWait: (stop: () => void) => void): Promise<string | undefined> {
    return new Promise((resolve) => {
      const settle = (text: string | undefined) => {
        this.#waiting.delete(settle)
        if (this.#waiting.size === 0) this.#stop()
        resolve(text)
      }
      this.#waiting.add(settle)
      onWait(() => settle(undefined))
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#timer !== undefined) return
    const wait = Math.max(0, this.#madeAt + this.#options.intervalMs - performance.now())
    this.#timer = setTimeout(async () => {
      this.#timer = undefined
      const text = await this.#make()
      for (const settle of [...this.#waiting]) settle(text)
    }, wait).unref()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #make(): Promise<string | undefined> {
    if (this.#isRendering && this.#text !== undefined) return this.#text
    this.#madeAt = performance.now()
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
