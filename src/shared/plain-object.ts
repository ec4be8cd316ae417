/**
 * Whether the value is an object literal (of any realm), or an object that inherits no methods, as parsers of query
 * strings create it. Arrays and instances of classes are not plain.
 */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || isEmpty(prototype)) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')
}

/** Whether a plain object has no inherited members, not even `hasOwnProperty`. */
export function inheritsNothing(value: object): boolean {
  return isEmpty(Object.getPrototypeOf(value))
}

function isEmpty(prototype: object | null): boolean {
  if (prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Reflect.ownKeys(prototype).length === 0
}
