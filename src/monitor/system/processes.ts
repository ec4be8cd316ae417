import type { ProcessUsage } from '../types.ts'
import type { SystemReaders } from './readers.ts'

const intervalMs = 5_000
/** More processes than a machine has workers are a mistake of the caller's. */
const most = 128

/** Other processes, such as workers, through `pidusage`. Our own is not read that way: its first value is always 0. */
export class ProcessSampler {
  readonly #readers: Pick<SystemReaders, 'time' | 'processUsage'>
  readonly #pids: () => readonly number[]
  readonly #known = new Set<number>()
  #usage: ProcessUsage[] = []
  #at = -Infinity
  #isRunning = false

  constructor(readers: Pick<SystemReaders, 'time' | 'processUsage'>, pids: () => readonly number[]) {
    this.#readers = readers
    this.#pids = pids
  }

  get usage(): readonly ProcessUsage[] {
    return this.#usage
  }

  async sample(): Promise<void> {
    const now = this.#readers.time()
    if (this.#isRunning || now - this.#at < intervalMs) return
    this.#at = now
    this.#isRunning = true
    try {
      const pids = [...new Set(this.#pids())].filter((pid) => pid !== process.pid).slice(0, most)
      const usage = await Promise.all(pids.map((pid) => this.#read(pid)))
      this.#usage = usage.filter((row) => row !== undefined)
      for (const pid of this.#known) if (!pids.includes(pid)) this.#known.delete(pid)
    } finally {
      this.#isRunning = false
    }
  }

  /** `undefined` when the process is gone, which `pidusage` says in three ways. */
  async #read(pid: number): Promise<ProcessUsage | undefined> {
    try {
      const usage = await this.#readers.processUsage(pid)
      if (usage === undefined) return undefined
      // The first value has nothing to be compared with.
      const cpuPercent = this.#known.has(pid) ? usage.cpu : null
      this.#known.add(pid)
      return { pid, cpuPercent, memoryBytes: usage.memory }
    } catch {
      this.#known.delete(pid)
      return undefined
    }
  }
}
