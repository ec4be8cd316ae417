import type { Transaction } from 'kysely'
import type { TransactionSettings } from '../options.ts'
import { type Invoke, ProcessorCall } from '../processor-call.ts'
import { createCheckpoint, moveCheckpoint } from './checkpoint-store.ts'
import type { Checkpointer } from './checkpointer.ts'

/**
 * Runs each call in a transaction that also moves the checkpoint, so that both happen or neither.
 *
 * The transaction moves the checkpoint first, which locks its row. So it waits for the COMMIT of a predecessor that was
 * killed during its COMMIT. If the checkpoint is then already past these items, they are not processed again: either the
 * predecessor's COMMIT succeeded, or our own did and its answer was lost.
 */
export function inTransaction<Item, Value>(
  invoke: Invoke<readonly Item[], Value>,
  { db, checkpoint }: TransactionSettings,
  checkpointer: Checkpointer,
  cursorAt: (position: number) => string | undefined,
): Invoke<readonly Item[], Value | undefined> {
  return async (items, call) => {
    const end = call.index + items.length
    const target = createCheckpoint(end, cursorAt(end))
    const value = await db.transaction().execute(async (trx) => {
      if (checkpoint !== undefined) {
        const isMoved = await moveCheckpoint(trx, checkpoint, checkpointer.position, target)
        if (!isMoved) return undefined
      }
      call.trx = trx as Transaction<unknown>
      return invoke(items, call)
    })
    checkpointer.position = end
    return value
  }
}

/** Turns a processor of items into a processor of chunks, which calls it for one item after another. */
export function callForEach<Item, Result>(invoke: Invoke<Item, Result>): Invoke<readonly Item[], Result[]> {
  return async (items, call) => {
    const results: Result[] = []
    for (const [offset, item] of items.entries()) {
      // The run has stopped: the transaction is rolled back, and a later run processes the batch.
      call.signal.throwIfAborted()
      const itemCall = new ProcessorCall(call.index + offset, call.batch, call.signal, call.runKey)
      itemCall.attempt = call.attempt
      itemCall.trx = call.trx
      try {
        results.push(await invoke(item, itemCall))
      } catch (error) {
        call.failedAt = offset
        call.isAbandoned = itemCall.isAbandoned
        throw error
      }
    }
    return results
  }
}
