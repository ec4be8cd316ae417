/** Collects what would have ended the process while the function runs. */
export async function uncaughtDuring(run: () => Promise<void>): Promise<unknown[]> {
  const errors: unknown[] = []
  const note = (error: unknown) => errors.push(error)
  const known = process.listeners('uncaughtException')
  const rejections = process.listeners('unhandledRejection')
  process.removeAllListeners('uncaughtException').on('uncaughtException', note)
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', note)
  try {
    await run()
    // Errors of sockets come with the next turns of the loop.
    await new Promise((resolve) => setTimeout(resolve, 100))
  } finally {
    process.off('uncaughtException', note).off('unhandledRejection', note)
    for (const listener of known) process.on('uncaughtException', listener)
    for (const listener of rejections) process.on('unhandledRejection', listener)
  }
  return errors
}
