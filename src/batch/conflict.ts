/** Another run moved the checkpoint. It ends the run whatever `onError` says: the items are in other hands. */
export class CheckpointConflict extends Error {
  override readonly name = 'CheckpointConflict'
}
