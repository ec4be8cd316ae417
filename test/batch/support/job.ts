/**
 * A job to be killed: `node job.ts DIALECT ADDRESS COUNT` writes the items below COUNT to a database, with their
 * checkpoint in the same transaction; `node job.ts file FOLDER COUNT` writes them to a log, with the checkpoint in a file.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
// Not through the face: a process that is started this often loads what it needs.
import { batchProcess, batchProcessChunks } from '../../../src/batch/batch-process.ts'
import { fileCheckpoints } from '../../../src/batch/file-checkpoints.ts'
import { kyselyCheckpoints } from '../../../src/batch/kysely-checkpoints.ts'
import { type JobDialect, openJobDatabase } from './job-databases.ts'

const [kind = '', address = '', count = ''] = process.argv.slice(2)
const items = Array.from({ length: Number(count) }, (_, index) => index)
let started = false
/** The parent kills at random from this word on. */
function sayStarted(): void {
  if (!started) process.stdout.write('started\n')
  started = true
}

if (kind === 'file') {
  await batchProcess(
    items,
    async (item) => {
      sayStarted()
      await null
      appendFileSync(join(address, 'log'), `${item}\n`)
    },
    { batchSize: 7, concurrency: 3, checkpoint: { key: 'job', store: fileCheckpoints(address) } },
  )
} else {
  const db = await openJobDatabase(kind as JobDialect, address)
  await batchProcessChunks(
    items,
    async (chunk, { trx }) => {
      sayStarted()
      for (const item of chunk) await trx.insertInto('done').values({ item }).execute()
    },
    { batchSize: 7, transaction: db, checkpoint: { key: 'job', store: kyselyCheckpoints(db) } },
  )
  await db.destroy()
}
