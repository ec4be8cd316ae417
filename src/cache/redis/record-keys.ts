import { toStoreKey } from '../key.ts'

/** The names of a namespace's records in Redis. They share a hash tag, so that they are on one node of a cluster. */
export class RecordKeys {
  readonly prefix: string
  readonly clock: string

  constructor(namespace: string) {
    this.prefix = `{${namespace}}:`
    this.clock = `${this.prefix}clock`
  }

  entry(key: string): string {
    return `${this.prefix}e:${toStoreKey(key)}`
  }

  lease(key: string): string {
    return `${this.prefix}l:${toStoreKey(key)}`
  }

  tag(tag: string): string {
    return `${this.prefix}t:${tag}`
  }

  /** What a read needs: the clock, then the entries, then the tags. */
  forRead(keys: readonly string[], tags: readonly string[]): string[] {
    const all = [this.clock]
    for (let index = 0; index < keys.length; index++) all.push(this.entry(keys[index] as string))
    for (let index = 0; index < tags.length; index++) all.push(this.tag(tags[index] as string))
    return all
  }
}
