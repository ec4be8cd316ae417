/**
 * Watches what a function of the user's returned that should return no promise. If it is one and rejects, nobody else would know,
 * and the process would end.
 *
 * @returns whether it is a promise
 */
export function watchRejection(returned: unknown, onRejected: (error: unknown) => void = () => {}): boolean {
  if (!(returned instanceof Promise)) return false
  returned.catch(onRejected)
  return true
}
