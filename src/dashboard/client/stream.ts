import type { PageDocument } from '../document.ts'

type State = 'Connecting' | 'Live' | 'Paused' | 'Not connected, trying again'

interface StreamListener {
  onDocument(document: PageDocument): void
  onState(state: State): void
}

/** A page nobody looks at gives its place away after this long. */
const hiddenMs = 60_000
/** The browser comes back by itself after a stream has ended, but not after it was refused. */
const retryMs = 5_000
/** The server ends each stream now and then; being away shorter than this is not worth a word. */
const patienceMs = 3_000

/** Follows the server's stream: while the page is seen, not paused, and again after it broke. */
export class Stream {
  readonly #url: string
  readonly #listener: StreamListener
  #source: EventSource | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #trouble: ReturnType<typeof setTimeout> | undefined
  #hidden: ReturnType<typeof setTimeout> | undefined
  #paused = false

  constructor(url: string, listener: StreamListener) {
    this.#url = url
    this.#listener = listener
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#hidden)
      if (document.hidden) this.#hidden = setTimeout(() => this.#close(), hiddenMs)
      else if (!this.#paused && this.#source === undefined) this.#open()
    })
    this.#begin()
  }

  get paused(): boolean {
    return this.#paused
  }

  set paused(paused: boolean) {
    this.#paused = paused
    this.#close()
    if (paused) this.#listener.onState('Paused')
    else this.#begin()
  }

  #begin(): void {
    this.#listener.onState('Connecting')
    this.#open()
  }

  #open(): void {
    const source = new EventSource(this.#url)
    this.#source = source
    source.onmessage = ({ data }) => {
      clearTimeout(this.#trouble)
      this.#trouble = undefined
      this.#listener.onState('Live')
      this.#listener.onDocument(JSON.parse(data))
    }
    source.onerror = () => {
      this.#trouble ??= setTimeout(() => this.#listener.onState('Not connected, trying again'), patienceMs)
      if (source.readyState === EventSource.CLOSED) this.#retry = setTimeout(() => this.#open(), retryMs)
    }
  }

  #close(): void {
    clearTimeout(this.#retry)
    clearTimeout(this.#trouble)
    this.#trouble = undefined
    this.#source?.close()
    this.#source = undefined
  }
}
