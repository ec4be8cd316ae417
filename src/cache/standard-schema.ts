/**
 * The part of Standard Schema v1 that is used here; Zod, Valibot and ArkType schemas have it.
 *
 * @see https://standardschema.dev
 */
export interface StandardSchema {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult | Promise<SchemaResult>
  }
}

type SchemaResult = { readonly value: unknown; readonly issues?: undefined } | { readonly issues: readonly unknown[] }

/** Says whether a value from the store has the shape that the code expects today. */
export type Validate = ((value: unknown) => boolean) | StandardSchema

/** Whether the value passes. What a schema makes of the value is not used: memory and store give back the same. */
export async function isValid(value: unknown, validate: Validate): Promise<boolean> {
  // ArkType's schemas are functions that carry the standard's property.
  if ('~standard' in validate) return (await validate['~standard'].validate(value)).issues === undefined
  return validate(value) === true
}
