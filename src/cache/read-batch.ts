import type { Found } from './store.ts'

const maxKeys = 500

type Read = (keys: readonly string[]) => Promise<readonly Found[] | undefined>

/** Gathers the keys that are asked for before the event loop turns, and reads them together. */
export class ReadBatch {
  readonly #read: Read
  #waiting: { readonly key: string; readonly resolve: (found: Promise<Found | undefined>) => void }[] = []

  constructor(read: Read) {
    this.#read = read
  }

  read(key: string): Promise<Found | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push({ key, resolve })
      if (this.#waiting.length === 1) process.nextTick(() => this.#send())
    })
  }

  #send(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (let first = 0; first < waiting.length; first += maxKeys) {
      const chunk = waiting.slice(first, first + maxKeys)
      const answers = this.#read(chunk.map(({ key }) => key))
      for (const [index, { resolve }] of chunk.entries()) resolve(answers.then((found) => found?.[index]))
    }
  }
}
