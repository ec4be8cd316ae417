import type { DiskUsage } from '../types.ts'
import type { SystemReaders } from './readers.ts'

const intervalMs = 30_000

/** Space of file systems, read every half minute. One that hangs keeps its last values and is not read again meanwhile. */
export class DiskSampler {
  readonly #readers: Pick<SystemReaders, 'time' | 'diskSpace'>
  readonly #paths: readonly string[]
  readonly #usage = new Map<string, DiskUsage>()
  readonly #reading = new Set<string>()
  readonly #onError: (path: string, error: unknown) => void
  #sampledAt = -Infinity

  /** @param onError - called when a path cannot be read, which leaves it out */
  constructor(
    readers: Pick<SystemReaders, 'time' | 'diskSpace'>,
    paths: readonly string[],
    onError: (path: string, error: unknown) => void,
  ) {
    this.#onError = onError
    this.#readers = readers
    this.#paths = paths
  }

  get usage(): DiskUsage[] {
    return [...this.#usage.values()]
  }

  async sample(): Promise<void> {
    const now = this.#readers.time()
    if (now - this.#sampledAt < intervalMs) return
    this.#sampledAt = now
    await Promise.all(this.#paths.filter((path) => !this.#reading.has(path)).map((path) => this.#read(path)))
  }

  async #read(path: string): Promise<void> {
    this.#reading.add(path)
    try {
      this.#usage.set(path, { path, ...(await readDiskSpace(this.#readers, path)) })
    } catch (error) {
      this.#usage.delete(path)
      this.#onError(path, error)
    } finally {
      this.#reading.delete(path)
    }
  }
}

/** Space as `df` counts it: blocks reserved for root are neither used nor free. */
export async function readDiskSpace(
  { diskSpace }: Pick<SystemReaders, 'diskSpace'>,
  path: string,
): Promise<Omit<DiskUsage, 'path'>> {
  const { bsize, blocks, bfree, bavail } = await diskSpace(path)
  const used = blocks - bfree
  const percent = used + bavail === 0 ? 0 : (used / (used + bavail)) * 100
  return { percent, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}
