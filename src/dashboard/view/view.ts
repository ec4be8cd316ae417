import type { Sort } from '../columns.ts'

/** What a reader chose to see. */
export interface View {
  readonly scope: 'instance' | 'fleet'
  readonly sort: Sort
  /** Only endpoints with this text in their name. */
  readonly filter: string
}

/** The link to another view, for a reader without JavaScript. */
export function linkTo({ scope, sort }: Pick<View, 'scope' | 'sort'>): string {
  return `?${new URLSearchParams({ scope, sort: sort.column, order: sort.order })}`
}
