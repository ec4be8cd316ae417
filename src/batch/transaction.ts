import type { Kysely, Transaction } from 'kysely'
import { type Checkpointer, checkpointAt } from './checkpointer.ts'
import { CheckpointConflict } from './conflict.ts'
import { Call, type Invoke } from './context.ts'
import type { TransactionSettings } from './options.ts'

/**
 * Runs each call in a transaction that also moves the checkpoint, so that both happen or neither.
 *
 * The checkpoint is moved first. Its row is then locked: a predecessor that was killed while its COMMIT was on the way is
 * waited for, and when the checkpoint turns out to stand behind these items already, because that COMMIT arrived or
 * because the answer to our own was lost, they are not processed again.
 */
export function inTransaction<Item, Value>(
  invoke: Invoke<readonly Item[], Value>,
  { db, checkpoint }: TransactionSettings,
  checkpointer: Checkpointer,
  cursorAt: (position: number) => string | undefined,
): Invoke<readonly Item[], Value | undefined> {
  return async (items, call) => {
    const end = call.index + items.length
    const target = checkpointAt(end, cursorAt(end))
    const value = await db.transaction().execute(async (trx) => {
      if (checkpoint !== undefined && !(await claim(trx, checkpoint, checkpointer.position, target))) return undefined
      call.trx = trx as Transaction<unknown>
      return invoke(items, call)
    })
    checkpointer.position = end
    return value
  }
}

/** Moves the checkpoint. False when it stands there already; anywhere else is another run's doing. */
async function claim(
  trx: Kysely<unknown>,
  { key, store }: NonNullable<TransactionSettings['checkpoint']>,
  from: number,
  target: { readonly processed: number; readonly cursor?: string | undefined },
): Promise<boolean> {
  if (await store.advance(trx, key, from, target)) return true
  const stored = await store.loadWithin(trx, key)
  if (stored?.processed === target.processed) return false
  throw new CheckpointConflict(
    `Another run moved the checkpoint '${key}' from ${from} to ${stored?.processed ?? 'nowhere'}`,
  )
}

/** Makes a processor of items one of chunks, item after item, which remembers where it failed. */
export function itemized<Item, Result>(invoke: Invoke<Item, Result>): Invoke<readonly Item[], Result[]> {
  return async (items, call) => {
    const results: Result[] = []
    for (const [offset, item] of items.entries()) {
      const single = new Call(call.index + offset, call.batch, call.signal, call.job)
      single.attempt = call.attempt
      single.trx = call.trx
      try {
        results.push(await invoke(item, single))
      } catch (error) {
        call.failedAt = offset
        call.abandoned = single.abandoned
        throw error
      }
    }
    return results
  }
}
