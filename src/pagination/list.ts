import { ReferenceNode, type RootOperationNode, type SelectQueryNode } from 'kysely'
import { expectOneOf } from '../shared/assertions.ts'
import type { OnWarn } from '../shared/warnings.ts'
import { type CursorCodec, type CursorContent, fingerprintOf } from './cursor.ts'
import { CursorInvalidError, KeyNullError } from './errors.ts'
import { isAt, nullKey, nullKeyAhead, positionOf } from './hidden.ts'
import { canonical } from './nodes.ts'
import { isNative, orderOf, reversed } from './order.ts'
import type { OrderedQuery, OrderKey } from './ordered-query.ts'
import type { Position } from './position.ts'
import { parseSortKeys, type SortSpecs } from './sort-keys.ts'
import { type Row, type SelectQuery, Source } from './source.ts'
import { keysOnly, offsetStatement, probeStatement, readStatement, seekStatement } from './statements.ts'
import { dialects, type SqlDialect } from './types.ts'
import { isDataError } from './unreadable.ts'

/** What a list takes from its paginator. */
export interface ListContext {
  readonly codec: CursorCodec
  readonly dialect: SqlDialect | undefined
  readonly warn: OnWarn
}

export interface ListOptions {
  readonly by?: unknown
  readonly unique: unknown
  readonly scope?: unknown
  readonly signal?: AbortSignal | undefined
  readonly dialect?: SqlDialect | undefined
}

/** Which rows to seek: those that follow a cursor, or those before it; without one, the first or the last. */
export interface SeekRequest {
  readonly cursor?: unknown
  readonly backward?: boolean
  readonly limit: number
  /** Whether to find out if rows stand on the cursor's other side. */
  readonly bothFlags?: boolean
}

/** Rows in the order of the list, with the hidden columns. */
export interface Sought {
  readonly rows: readonly Row[]
  readonly hasNext: boolean
  readonly hasPrev: boolean
  /** The number of the page, where it is known. */
  readonly page: number | undefined
}

/** The statement of a page, the order that it reads in, and what its cursor says. */
interface PageStatement {
  readonly statement: SelectQueryNode
  readonly order: OrderedQuery
  readonly position: Position | undefined
  readonly page: number | undefined
}

/** A query in an order, read by position or by offset. */
export class List {
  readonly source: Source
  readonly #options: ListOptions
  readonly #context: ListContext
  readonly #specs: SortSpecs
  #order: OrderedQuery | undefined
  #fingerprint: string | undefined

  constructor(query: SelectQuery, options: ListOptions, context: ListContext) {
    this.#options = options
    this.#context = context
    const dialect = options.dialect === undefined ? context.dialect : expectOneOf(options.dialect, 'dialect', dialects)
    this.#specs = parseSortKeys(options.by, options.unique)
    this.source = new Source(query.orderBy(this.#specs.tuple), dialect)
  }

  /** Rows by OFFSET. */
  byOffset(limit: number, offset: number): Promise<Row[]> {
    return this.#run((node) => offsetStatement(this.#resolve(node), this.source.dialect, limit, offset))
  }

  /**
   * Rows by position. The statement reads from the cursor's own row on: when that row is there, it proves that something
   * stands on its other side, in the same snapshot. Only when it is gone does a second statement look.
   */
  async seek(request: SeekRequest): Promise<Sought> {
    const { backward = false, limit, bothFlags = true } = request
    let prepared: PageStatement | undefined
    let rows: Row[]
    try {
      rows = await this.#run((node) => {
        prepared = this.#prepare(node, request)
        return prepared.statement
      })
    } catch (error) {
      throw isDataError(error) ? await this.#blamed(error, prepared as unknown as PageStatement) : error
    }
    const { order, position, page } = prepared as unknown as PageStatement
    const { keys } = order
    let behind = position !== undefined && rows[0] !== undefined && isAt(rows[0], position)
    if (behind) {
      rows = rows.slice(1)
    } else if (position !== undefined && (bothFlags || rows.length === 0)) {
      const [row] = await this.#run(() => probeStatement(order, this.source.dialect, position))
      refuseNull(nullKeyAhead(row, keys))
      behind = Number(row?.phb) === 1
    }
    refuseNull(nullKeyAhead(rows[0], keys))
    refuseNull(nullKey(rows, keys))
    const more = rows.length > limit
    const shown = rows.slice(0, limit)
    return backward
      ? { rows: shown.reverse(), hasNext: behind, hasPrev: more, page }
      : { rows: shown, hasNext: more, hasPrev: behind, page: position === undefined ? 1 : page }
  }

  /** Runs what becomes of the statement of a page instead of it; the page is one by OFFSET when that is given. */
  async explain(
    { offset, ...request }: SeekRequest & { readonly offset?: number | undefined },
    explained: (statement: SelectQueryNode) => RootOperationNode,
  ): Promise<{ rows: Row[]; order: OrderedQuery }> {
    let order: OrderedQuery | undefined
    const rows = await this.#run((node) => {
      if (offset === undefined) {
        const prepared = this.#prepare(node, request)
        order = prepared.order
        return explained(prepared.statement)
      }
      order = this.#resolve(node)
      return explained(offsetStatement(order, this.source.dialect, request.limit + 1, offset))
    })
    return { rows, order: order as unknown as OrderedQuery }
  }

  /** The keys alone of rows that follow the row. */
  async keysAfter(row: Row, limit: number): Promise<Row[]> {
    const position = positionOf(row, (this.#order as OrderedQuery).keys)
    const rows = await this.#run((node) =>
      seekStatement(keysOnly(this.#resolve(node)), this.source.dialect, limit + 1, position),
    )
    return rows[0] !== undefined && isAt(rows[0], position) ? rows.slice(1) : rows.slice(0, limit)
  }

  /** The cursor that stands at the row. */
  cursorAt(row: Row, page?: number): string {
    return this.#context.codec.encode(this.#fingerprint as string, {
      position: positionOf(row, (this.#order as OrderedQuery).keys),
      page,
    })
  }

  /** The error to throw: the cursor is at fault when the database reads the query without it, and not its keys. */
  async #blamed(error: unknown, { order, position }: PageStatement): Promise<unknown> {
    if (position === undefined) return error
    const { dialect } = this.source
    const isRefused = (build: () => SelectQueryNode) =>
      this.#run(build).then(
        () => false,
        () => true,
      )
    if (await isRefused(() => seekStatement(order, dialect, 0))) return error
    const refused =
      (await isRefused(() => readStatement(dialect, position))) ||
      (await isRefused(() => seekStatement(order, dialect, 0, position)))
    return refused ? new CursorInvalidError('The cursor holds a key that cannot be read', { cause: error }) : error
  }

  #run(build: (node: SelectQueryNode) => RootOperationNode): Promise<Row[]> {
    return this.source.run(build, this.#options.signal)
  }

  #prepare(node: SelectQueryNode, { cursor, backward = false, limit, bothFlags = true }: SeekRequest): PageStatement {
    const forward = this.#resolve(node)
    const content = cursor === undefined ? undefined : this.#decode(cursor, forward)
    const order = backward ? { ...forward, keys: reversed(forward.keys) } : forward
    const position = content?.position
    const starts = position === undefined || !bothFlags
    const rows = position === undefined ? limit + 1 : limit + 2
    const statement = seekStatement(order, this.source.dialect, rows, position, starts)
    return { statement, order, position, page: content?.page }
  }

  #resolve(node: SelectQueryNode): OrderedQuery {
    if (this.#order !== undefined) return this.#order
    const order = orderOf(node, this.#specs, this.source)
    if (!order.keys.every((key) => isNative(key, this.source.dialect))) this.#context.warn(notNative)
    this.#fingerprint = fingerprintOf(order.signature, this.#options.scope)
    this.#order = order
    return order
  }

  #decode(cursor: unknown, { keys }: OrderedQuery): CursorContent {
    const content = this.#context.codec.decode(this.#fingerprint as string, cursor)
    const { position } = content
    if (position.length === keys.length && keys.every((key, at) => key.nullable || position[at] !== null))
      return content
    throw new CursorInvalidError('The cursor is not valid')
  }
}

const notNative = {
  code: 'KEY_ORDER_NOT_NATIVE',
  message:
    'A key places its NULLs where the database does not have them in a plain index, so its pages cannot be read by one. ' +
    'PostgreSQL can by an index that is declared with the same NULLS FIRST or LAST; elsewhere take the native placement.',
}

function refuseNull(key: OrderKey | undefined): void {
  if (key === undefined) return
  const name = ReferenceNode.is(key.node) ? `\`${canonical(key.node)}\`` : 'a computed key'
  throw new KeyNullError(`The key ${name} is NULL in some row: say where such rows stand, with \`nulls\``)
}
