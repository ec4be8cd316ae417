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
