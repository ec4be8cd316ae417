import type { PageDocument } from '../document.ts'

interface StreamListener {
  onDocument(document: PageDocument): void
  /** `Connecting`, `Live`, `Paused`, or `Not connected` and why. */
  onState(state: string): void
}

/** How long to wait after a failure before the next attempt to connect. */
const retryMs = 5_000
/** How long to wait after a stream that the server has ended, as it does regularly. */
const renewMs = 500
/** A connection that brings nothing for this long is broken. */
const silenceMs = 15_000

/** What a tab that follows the stream tells the other tabs. */
type News = { readonly text: string } | { readonly state: string }

/**
 * Follows the server's stream while the page is visible and not paused, and reconnects when it breaks. Tabs that show the same share
 * one stream: a browser has six connections to a server, and the stream would hold one for each tab.
 */
export class Stream {
  #url: string
  readonly #listener: StreamListener
  #running: AbortController | undefined
  #paused = false

  constructor(url: string, listener: StreamListener) {
    this.#url = url
    this.#listener = listener
    document.addEventListener('visibilitychange', () => this.#update())
    this.#update()
  }

  get paused(): boolean {
    return this.#paused
  }

  set paused(paused: boolean) {
    this.#paused = paused
    this.#update()
    if (paused) this.#listener.onState('Paused')
  }

  /** Follows another stream from now on. */
  set url(url: string) {
    if (url === this.#url) return
    this.#url = url
    this.#stop()
    this.#update()
  }

  #update(): void {
    if (this.#paused || document.hidden) this.#stop()
    else if (this.#running === undefined) this.#start()
  }

  #stop(): void {
    this.#running?.abort()
    this.#running = undefined
  }

  #start(): void {
    const running = new AbortController()
    this.#running = running
    this.#listener.onState('Connecting')
    const name = `posthaste ${this.#url}`
    // Locks need a secure context, and locks and channels may be forbidden with cookies: then each tab has its own stream.
    const others = navigator.locks === undefined ? undefined : openChannel(name)
    const take = (news: News) => {
      if (running.signal.aborted) return
      if ('state' in news) {
        this.#listener.onState(news.state)
        return
      }
      this.#listener.onState('Live')
      this.#listener.onDocument(JSON.parse(news.text))
    }
    const { signal } = running
    const follow = (tell: (news: News) => void) => followForever(this.#url, signal, tell)
    if (others === undefined) {
      void follow(take)
      return
    }
    const tell = (news: News) => {
      take(news)
      others.postMessage(news)
    }
    others.onmessage = ({ data }: MessageEvent<News>) => take(data)
    signal.addEventListener('abort', () => others.close())
    navigator.locks
      .request(name, { signal }, () => follow(tell))
      .catch(() => (signal.aborted ? undefined : follow(take)))
  }
}

/** `undefined` where the reader has forbidden it. */
function openChannel(name: string): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel(name)
  } catch {
    return undefined
  }
}

/** Connects again and again, until it is stopped. */
async function followForever(url: string, signal: AbortSignal, tell: (news: News) => void): Promise<void> {
  while (!signal.aborted) {
    const problem = await followOnce(url, signal, tell)
    if (problem !== undefined && !signal.aborted) tell({ state: `Not connected: ${problem}` })
    await pause(problem === undefined ? renewMs : retryMs, signal)
  }
}

/** Reads one stream to its end. Returns why there was none, or why it broke. */
async function followOnce(url: string, signal: AbortSignal, tell: (news: News) => void): Promise<string | undefined> {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), silenceMs)
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, silence.signal]), cache: 'no-store' })
    if (!response.ok || response.body === null) return await reasonOf(response)
    let text = ''
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return undefined
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), silenceMs)
      const events = (text + value).split('\n\n')
      text = events.pop() ?? ''
      const latest = events.at(-1)
      // The server sends each document in one line.
      if (latest !== undefined) tell({ text: latest.replace(/^data: /, '') })
    }
  } catch {
    return silence.signal.aborted ? 'the server does not answer' : 'the server cannot be reached'
  } finally {
    clearTimeout(timer)
  }
}

async function reasonOf(response: Response): Promise<string> {
  const { detail } = (await response.json().catch(() => ({}))) as { detail?: string }
  return `${detail ?? 'the server refused'} (${response.status})`
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
