import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checkpoint, CheckpointStore } from './checkpoints.ts'

/**
 * Checkpoints in files of a folder, one a key. A file is written beside the old one, flushed to the disk, and renamed, so
 * that even a power cut leaves a whole one.
 *
 * @param folder - is made when it is missing
 */
export function fileCheckpoints(folder: string): CheckpointStore {
  return {
    async load(key) {
      const file = fileOf(folder, key)
      const text = await readFile(file, 'utf8').catch(undefinedWhenMissing)
      return text === undefined ? undefined : parseCheckpoint(text, file)
    },
    async save(key, checkpoint) {
      const file = fileOf(folder, key)
      const fresh = `${file}.${randomUUID()}`
      await mkdir(folder, { recursive: true })
      try {
        await writeToDisk(fresh, JSON.stringify({ key, ...checkpoint }))
        await rename(fresh, file)
      } catch (error) {
        await rm(fresh, { force: true })
        throw error
      }
    },
    async clear(key) {
      await rm(fileOf(folder, key), { force: true })
    },
  }
}

async function writeToDisk(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx')
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A readable name, and a hash that keeps apart what file systems do not: case, length, characters they refuse. */
function fileOf(folder: string, key: string): string {
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 16)
  return join(folder, `${key.replace(/[^\w-]+/g, '_').slice(0, 60)}.${hash}.json`)
}

function undefinedWhenMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function parseCheckpoint(text: string, file: string): Checkpoint {
  try {
    const { processed, cursor } = JSON.parse(text) as Checkpoint
    if (Number.isSafeInteger(processed)) return cursor === undefined ? { processed } : { processed, cursor }
  } catch {
    // Told below.
  }
  throw new Error(`Expected a checkpoint in ${file}, got something else: remove the file to start over`)
}
