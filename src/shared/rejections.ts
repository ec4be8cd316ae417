/**
 * Handles a promise that a user's function returned although it should return none. If the promise rejected unobserved,
 * the process would end.
 *
 * @returns whether the value is a promise
 */
export function watchRejection(returned: unknown, onRejected: (error: unknown) => void = () => {}): boolean {
  if (!(returned instanceof Promise)) return false
  returned.catch(onRejected)
  return true
}

/** Calls a user's listener. Its error, thrown or rejected, must not fail the work that it hears of, or end the process. */
export function notify<Event>(
  listener: (event: Event) => unknown,
  event: Event,
  onError: (error: unknown) => void = () => {},
): void {
  try {
    watchRejection(listener(event), onError)
  } catch (error) {
    onError(error)
  }
}
