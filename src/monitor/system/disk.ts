import type { DiskUsage } from '../types.ts'
import type { SystemReaders } from './readers.ts'

const intervalMs = 30_000

/** Space of file systems, read every half minute. One that hangs keeps its last numbers and is not asked again. */
export class DiskSampler {
  readonly #readers: Pick<SystemReaders, 'time' | 'diskSpace'>
  readonly #paths: readonly string[]
  readonly #usage = new Map<string, DiskUsage>()
  readonly #running = new Set<string>()
  #at = -Infinity

  constructor(readers: Pick<SystemReaders, 'time' | 'diskSpace'>, paths: readonly string[]) {
    this.#readers = readers
    this.#paths = paths
  }

  get usage(): DiskUsage[] {
    return [...this.#usage.values()]
  }

  async sample(): Promise<void> {
    const now = this.#readers.time()
    if (now - this.#at < intervalMs) return
    this.#at = now
    await Promise.all(this.#paths.filter((path) => !this.#running.has(path)).map((path) => this.#read(path)))
  }

  async #read(path: string): Promise<void> {
    this.#running.add(path)
    try {
      this.#usage.set(path, { path, ...(await readDisk(this.#readers, path)) })
    } catch {
      this.#usage.delete(path)
    } finally {
      this.#running.delete(path)
    }
  }
}

/** Space as `df` counts it: what is reserved for root is neither used nor free. */
export async function readDisk(
  { diskSpace }: Pick<SystemReaders, 'diskSpace'>,
  path: string,
): Promise<Omit<DiskUsage, 'path'>> {
  const { bsize, blocks, bfree, bavail } = await diskSpace(path)
  const used = blocks - bfree
  const percent = used + bavail === 0 ? 0 : (used / (used + bavail)) * 100
  return { percent, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}
