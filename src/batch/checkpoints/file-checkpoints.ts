import { join } from 'node:path'
import { expectText } from '../../shared/arguments.ts'
import { nodeCrypto, nodeFs } from '../../shared/platform/builtins.ts'
import { type Checkpoint, type CheckpointStore, parseCheckpoint } from './checkpoint-store.ts'

/**
 * Keeps each checkpoint in a file of the folder. To save one, a new file is written, flushed to the disk, and renamed over
 * the old file, so that even a power cut leaves a complete file.
 *
 * @param folder - created if it does not exist
 * @throws TypeError if the folder is not a string
 */
export function fileCheckpoints(folder: string): CheckpointStore {
  expectText(folder, 'folder')
  return {
    async load(key) {
      const path = pathOf(folder, key)
      const text = await nodeFs().promises.readFile(path, 'utf8').catch(undefinedWhenMissing)
      return text === undefined ? undefined : parseFile(text, path)
    },
    async save(key, checkpoint) {
      const path = pathOf(folder, key)
      const temporaryPath = `${path}.${nodeCrypto().randomUUID()}`
      const { mkdir, rename, rm } = nodeFs().promises
      await mkdir(folder, { recursive: true })
      try {
        await writeToDisk(temporaryPath, JSON.stringify({ key, ...checkpoint }))
        await rename(temporaryPath, path)
      } catch (error) {
        await rm(temporaryPath, { force: true })
        throw error
      }
    },
    async clear(key) {
      await nodeFs().promises.rm(pathOf(folder, key), { force: true })
    },
  }
}

async function writeToDisk(path: string, text: string): Promise<void> {
  const handle = await nodeFs().promises.open(path, 'wx')
  try {
    await handle.writeFile(text)
    // `handle.sync()` is missing in Yarn's Plug'n'Play.
    await new Promise<void>((resolve, reject) => {
      nodeFs().fsync(handle.fd, (error) => (error ? reject(error) : resolve()))
    })
  } finally {
    await handle.close()
  }
}

/** The hash distinguishes keys whose names a file system would treat alike: by case, by length, by forbidden characters. */
function pathOf(folder: string, key: string): string {
  const hash = nodeCrypto().createHash('sha256').update(key).digest('hex').slice(0, 16)
  return join(folder, `${key.replace(/[^\w-]+/g, '_').slice(0, 60)}.${hash}.json`)
}

function undefinedWhenMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function parseFile(text: string, path: string): Checkpoint {
  try {
    return parseCheckpoint(JSON.parse(text), 'the checkpoint')
  } catch (cause) {
    throw new Error(`Expected a checkpoint in ${path}, got something else: remove the file to start over`, { cause })
  }
}
