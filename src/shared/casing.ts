/** `'snake'` for JSON documents, `'camel'` for TypeScript objects. */
export type Casing = 'snake' | 'camel'

/** `hasNext` to `has_next`. */
export function toSnake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
