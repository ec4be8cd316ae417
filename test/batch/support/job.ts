/**
 * A job that kills itself: `node job.ts DIALECT ADDRESS COUNT MOMENT` writes the items below COUNT to a database, with
 * their checkpoint in the same transaction; `node job.ts file FOLDER COUNT MOMENT` writes them to a log, with the
 * checkpoint in a file. SIGKILL comes at the given moment, counted from the first row; 0 lets the job end.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
// Not through the face: a process that is started this often loads what it needs.
import { batchProcess, batchProcessChunks } from '../../../src/batch/batch-process.ts'
import { fileCheckpoints } from '../../../src/batch/checkpoints/file-checkpoints.ts'
import { kyselyCheckpoints } from '../../../src/batch/checkpoints/kysely-checkpoints.ts'
import { type JobDialect, openJobDatabase } from './job-databases.ts'

const [kind = '', address = '', count = '', lastMoment = ''] = process.argv.slice(2)
const items = Array.from({ length: Number(count) }, (_, index) => index)
const batchSize = 7
let moments = 0

function passMoment(): void {
  if (++moments === Number(lastMoment)) process.kill(process.pid, 'SIGKILL')
}

if (kind === 'file') {
  await batchProcess(
    items,
    async (item) => {
      // Meanwhile the checkpoint before is being written, step by step.
      await nextTurn()
      appendFileSync(join(address, 'log'), `${item}\n`)
      passMoment()
    },
    { batchSize, concurrency: 3, checkpoint: { key: 'job', store: fileCheckpoints(address) } },
  )
} else {
  let isWriting = false
  // Two moments a statement, BEGIN and COMMIT included: before it is sent, and before it is answered.
  const db = await openJobDatabase(kind as JobDialect, address, (send) => {
    if (!isWriting) return send()
    passMoment()
    const answer = send()
    passMoment()
    return answer
  })
  await batchProcessChunks(
    items,
    async (chunk, { trx }) => {
      isWriting = true
      for (const item of chunk) await trx.insertInto('done').values({ item }).execute()
    },
    { batchSize, transaction: db, checkpoint: { key: 'job', store: kyselyCheckpoints(db) } },
  )
  await db.destroy()
}
