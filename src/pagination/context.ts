import type { Casing } from '../shared/casing.ts'
import type { ListContext } from './list.ts'
import type { PageSizes } from './page-size.ts'

/** What a paginator was made with. */
export interface PaginatorContext extends ListContext {
  readonly casing: Casing
  readonly perPage: PageSizes
}
