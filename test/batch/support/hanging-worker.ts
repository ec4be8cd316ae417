/** A worker to be killed: `node hanging-worker.ts QUEUE REDIS_URL` takes a batch, says so, and never ends it. */
import { batchWorker } from '../../../src/batch/distributed/batch-worker.ts'

const [queue = '', connection = ''] = process.argv.slice(2)
batchWorker<number>(
  queue,
  () => {
    process.stdout.write('taken\n')
    return new Promise<never>(() => {})
  },
  { connection, takeOver: '1s' },
)
