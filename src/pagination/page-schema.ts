import { expectObject, expectOneOf, expectOptions, type OptionKinds } from '../shared/arguments.ts'
import { type Casing, toSnake } from '../shared/casing.ts'
import type { JsonSchema } from './list-query/field.ts'

export interface PageSchemaOptions {
  /** As in the paginator. @defaultValue 'camel' */
  readonly casing?: Casing | undefined
  /** Whether the pages are those of `cursorPaginate`. @defaultValue false */
  readonly cursor?: boolean | undefined
}

const pageSchemaOptions: OptionKinds<PageSchemaOptions> = { casing: 'own', cursor: 'boolean' }

/**
 * The JSON Schema of a page, for a Fastify response or an OpenAPI document (drafts 7 to 2020-12). Totals are optional in it:
 * a page has those that `total` asks for.
 *
 * @param itemSchema - the schema of one row
 *
 * @example
 * ```ts
 * const response = { 200: pageSchema({ type: 'object', properties: { id: { type: 'integer' } } }, { cursor: true }) }
 * ```
 */
export function pageSchema(itemSchema: JsonSchema, options: PageSchemaOptions = {}): JsonSchema {
  expectObject(itemSchema, 'itemSchema')
  expectOptions(options, pageSchemaOptions)
  const { casing = 'camel', cursor = false } = options
  const isSnake = expectOneOf(casing, 'casing', ['snake', 'camel']) === 'snake'
  const count = { type: 'integer', minimum: 0 }
  const size = { type: 'integer', minimum: 1 }
  const position = { type: ['string', 'null'] }
  const flags = { hasNext: { type: 'boolean' }, hasPrev: { type: 'boolean' } }
  const required = cursor
    ? { perPage: size, ...flags, next: position, prev: position }
    : { page: size, perPage: size, ...flags }
  const targets = {
    type: 'array',
    items: { type: 'object', properties: { page: size, after: { type: 'string' } }, required: ['page', 'after'] },
  }
  const totals = { total: count, totalPages: count, totalIs: { type: 'string', enum: ['exact', 'capped', 'estimate'] } }
  const properties = { ...required, ...totals, ...(cursor ? { jump: targets } : {}) }
  const nameOf = (name: string) => (isSnake ? toSnake(name) : name)
  return {
    type: 'object',
    properties: {
      items: { type: 'array', items: itemSchema },
      pagination: {
        type: 'object',
        properties: Object.fromEntries(Object.entries(properties).map(([name, schema]) => [nameOf(name), schema])),
        required: Object.keys(required).map(nameOf),
      },
    },
    required: ['items', 'pagination'],
  }
}
