import type { Checkpoint, CheckpointStore } from './checkpoint-store.ts'

/** Keeps checkpoints in memory: for tests, and for runs that are aborted and resumed in one process. */
export function memoryCheckpoints(): CheckpointStore {
  const checkpoints = new Map<string, Checkpoint>()
  return {
    async load(key) {
      return checkpoints.get(key)
    },
    async save(key, checkpoint) {
      checkpoints.set(key, checkpoint)
    },
    async clear(key) {
      checkpoints.delete(key)
    },
  }
}
