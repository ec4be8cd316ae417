import type { RootOperationNode, SelectQueryNode } from 'kysely'
import { type CursorCodec, type CursorContent, fingerprintOf, isSamePosition, type Position } from '../cursor.ts'
import { CursorInvalidError } from '../errors.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { positionOfValues } from '../key-text/legacy-values.ts'
import { databaseOf } from '../key-text/mysql-catalog.ts'
import { withInstants } from '../key-text/mysql-times.ts'
import { lacksOwnType, refuseOtherTypes } from '../key-text/postgres.ts'
import { lacksExactTexts } from '../key-text/sqlite.ts'
import { mayBeRounded, showsMixedTypes, withUnionKeys } from '../key-text/sqlite-unions.ts'
import { isAborted, isDataError, isRankOfFts5, namesCursor, refuseKeyOf } from './data-errors.ts'
import { isCursorRow, mayBeByLocalTime, refuseDoubts, refuseNullAhead, unstable } from './hidden-columns.ts'
import { expectFitting, fits, MysqlKeys, refuseOtherZone } from './mysql-keys.ts'
import { offsetStatement } from './order-by.ts'
import { OrderedQuery, type OrderedQueryOptions, type OrderedQuerySettings } from './ordered-query.ts'
import { probeStatement, readKeysStatement } from './probe-statements.ts'
import { expectColumn, expectTexts, type QueryRunner, type Row, type SelectQuery } from './query-runner.ts'
import { seekStatement, wantDetails, withoutColumns, withoutKeyValues } from './seek-statement.ts'
import { type OrderKey, type ResolvedQuery, reversed } from './sort-keys.ts'

export interface SeekSettings extends OrderedQuerySettings {
  readonly codec: CursorCodec
}

export interface SeekOptions extends OrderedQueryOptions {
  readonly scope?: unknown
}

/** The rows to seek: those after a cursor, or those before it; without a cursor, the first or the last. */
export interface SeekRequest {
  readonly cursor?: unknown
  readonly isBackward?: boolean
  readonly limit: number
  /** Whether to find out if there are rows on the cursor's other side. */
  readonly needsBothFlags?: boolean
  /** Whether to leave out the columns of the query: the rows then have no columns but hidden ones. */
  readonly keysOnly?: boolean
}

/** A request, with what an attempt before has shown. */
interface Attempt extends SeekRequest {
  /** Whether to sort times by their instants, because MySQL may sort them by local time. */
  readonly sortsInstants?: boolean
  /** Whether the page is read a second time, because the probe contradicted it. */
  readonly isSecond?: boolean
}

/** Rows in the order of the query, hidden columns included. */
export interface SeekResult {
  readonly rows: readonly Row[]
  readonly hasNext: boolean
  readonly hasPrev: boolean
  /** The page's number, if it is known. */
  readonly page: number | undefined
  /** The position of the cursor. */
  readonly asked: Position | undefined
}

/** The statement of a page, the order it reads in, and the content of its cursor. */
interface PageStatement {
  readonly statement: SelectQueryNode
  readonly resolved: ResolvedQuery
  readonly position: Position | undefined
  readonly page: number | undefined
}

/** A query in an order, read by position. */
export class SeekQuery {
  /** Runs other statements over the query, such as its count. */
  readonly runner: QueryRunner
  readonly #ordered: OrderedQuery
  readonly #options: SeekOptions
  readonly #codec: CursorCodec
  readonly #mysqlKeys: MysqlKeys | undefined
  #fingerprint: string | undefined

  constructor(query: SelectQuery, options: SeekOptions, settings: SeekSettings) {
    this.#options = options
    this.#codec = settings.codec
    this.#ordered = new OrderedQuery(query, options, settings)
    this.runner = this.#ordered.runner
    const reset = () => this.#reset()
    this.#mysqlKeys = this.runner.dialect === 'mysql' ? new MysqlKeys(this.runner, options.signal, reset) : undefined
  }

  /**
   * Reads rows by position, from the cursor's own row on. If that row still exists, it proves, in the same snapshot, that
   * there are rows on the cursor's other side. If it is gone, a second statement looks for such rows.
   */
  seek(request: SeekRequest): Promise<SeekResult> {
    return this.#mysqlKeys === undefined ? this.#seek(request) : this.#mysqlKeys.read(() => this.#seek(request))
  }

  async #seek(request: Attempt): Promise<SeekResult> {
    const { isBackward = false, limit } = request
    let result: { rows: Row[]; built: PageStatement }
    try {
      result = await this.#run((node) => this.#buildPage(this.#resolve(node), request))
    } catch (error) {
      return this.#seekDespite(error, request)
    }
    const { rows, built } = result
    const better = this.#betterRequest(request, rows, built.resolved)
    if (better !== undefined) return this.#seek(better)
    const startsAtCursor = built.position !== undefined && rows[0] !== undefined && isCursorRow(rows[0])
    refuseDoubts(rows, built, this.runner.dialect, startsAtCursor)
    let hasRowsBehind = startsAtCursor
    if (built.position !== undefined && !startsAtCursor) {
      const isBehind = await this.#probe(built, rows[0], request.isSecond)
      if (isBehind === undefined) return this.#seek({ ...request, isSecond: true })
      hasRowsBehind = isBehind
    }
    const ahead = startsAtCursor ? rows.slice(1) : rows
    const hasRowsAhead = ahead.length > limit
    const shown = ahead.slice(0, limit)
    const last = shown.at(-1)
    if (this.#mysqlKeys && last) this.#expectCursor(this.#positionOf(last))
    return {
      rows: isBackward ? shown.reverse() : shown,
      hasNext: isBackward ? hasRowsBehind : hasRowsAhead,
      hasPrev: isBackward ? hasRowsAhead : hasRowsBehind,
      page: built.position === undefined && !isBackward ? 1 : built.page,
      asked: built.position,
    }
  }

  /** After an error, seeks with another statement if one may succeed, or else throws the cause of the error. */
  async #seekDespite(error: unknown, request: Attempt): Promise<SeekResult> {
    if (this.#leaveOutKeyValues(error)) return this.#seek(request)
    if (isRankOfFts5(error) && this.#keys[0]?.typesInUnion !== 'several') {
      this.#ordered.expectMixedTypes()
      return this.#seek(request)
    }
    refuseKeyOf(error, this.resolved?.keys ?? [])
    if (!isDataError(error)) throw error
    const cause = await this.#findCause(error, request)
    if (cause !== error || !this.#ordered.fence()) throw cause
    return this.#seek(request).catch(() => Promise.reject(error))
  }

  /** The request with which to read the page again, if the rows show that the statement was the wrong one. */
  #betterRequest(request: Attempt, rows: readonly Row[], resolved: ResolvedQuery): Attempt | undefined {
    const [first] = rows
    const { dialect } = this.runner
    expectColumn(first, 'posthastek0')
    if (dialect === 'postgres') expectTexts(rows, 'posthastek0')
    if (dialect === 'mysql' && rows.some(mayBeByLocalTime)) return { ...request, sortsInstants: true }
    if (this.#askForDetails(rows, resolved)) return request
    if (dialect !== 'sqlite' || !showsMixedTypes(first)) return undefined
    this.#ordered.expectMixedTypes()
    return request
  }

  /**
   * Whether there are rows behind a cursor whose own row is gone.
   *
   * @param first - the first row ahead of the cursor
   * @returns `undefined` when the page must be read again
   */
  async #probe(page: PageStatement, first?: Row, isSecond?: boolean): Promise<boolean | undefined> {
    const position = page.position as Position
    const { keys } = page.resolved
    const [row] = await this.#rows(() => probeStatement(page.resolved, this.runner.dialect, position))
    if (first === undefined && this.#mysqlKeys && !(await this.#mysqlKeys.isIn(databaseOf(row)))) {
      this.#reset()
      return undefined
    }
    if (showsMixedTypes(row)) {
      this.#ordered.expectMixedTypes()
      return undefined
    }
    refuseOtherZone(row, position, keys)
    refuseNullAhead(row, keys)
    // Somebody may have written the cursor's row again since the page was read.
    if (Number(row?.phe) === 1 && !isSecond) return undefined
    if (Number(row?.phe) === 1 || (first && isSamePosition(this.#positionOf(first), position))) throw unstable(keys)
    const behind = row?.phb ?? null
    if (this.runner.dialect === 'postgres') refuseOtherTypes(behind, position)
    return behind !== null
  }

  /** If the driver refused an integer beyond 2^53 in a hidden column, leaves out key values. Returns whether that is new. */
  #leaveOutKeyValues(error: unknown): boolean {
    const keys = this.resolved?.keys
    // Only `node:sqlite` gives this error a code, libSQL does not: so check the class.
    if (this.runner.dialect !== 'sqlite' || !(error instanceof RangeError) || keys === undefined) return false
    return withoutKeyValues(keys)
  }

  /**
   * Runs an explaining statement in place of a page's.
   *
   * @param request - with an `offset`, the page is read by OFFSET
   * @param toExplain - makes the explaining statement
   */
  async explain(
    { offset, ...request }: SeekRequest & { readonly offset?: number | undefined },
    toExplain: (statement: SelectQueryNode) => RootOperationNode,
  ): Promise<{ rows: Row[]; resolved: ResolvedQuery }> {
    const { rows, built } = await this.#run((node) => {
      const order = this.#resolve(node)
      const { statement, resolved } =
        offset === undefined
          ? this.#buildPage(order, request)
          : { statement: offsetStatement(order, this.runner.dialect, request.limit + 1, offset), resolved: order }
      return { statement: toExplain(statement), resolved }
    })
    return { rows, resolved: built.resolved }
  }

  /**
   * The cursor of a row of this query.
   *
   * @param asked - the position that the page was asked with: a cursor that leads there again would make a walk endless
   */
  cursorAt(row: Row, page?: number, asked?: Position): string {
    return this.cursorOf(this.#positionOf(row), page, asked)
  }

  cursorOf(position: Position, page?: number, asked?: Position): string {
    this.#expectCursor(position, asked)
    return this.#codec.encode(this.#fingerprint as string, { position, page })
  }

  #expectCursor(position: Position, asked?: Position): void {
    const leadsBack = asked !== undefined && isSamePosition(asked, position)
    const isRounded = this.runner.dialect === 'sqlite' && mayBeRounded(position, this.#keys)
    const isLost = this.#mysqlKeys ? !fits(position, this.#keys) : isRounded
    if (leadsBack || isLost) throw unstable(this.#keys)
  }

  /** If the rows show that their statement lacked details, makes the next statements have them. Returns whether that is so. */
  #askForDetails(rows: readonly Row[], resolved: ResolvedQuery): boolean {
    const { dialect } = this.runner
    const [first] = rows
    const isLacking =
      dialect === 'postgres'
        ? first !== undefined && lacksOwnType(first, resolved)
        : dialect === 'sqlite' && lacksExactTexts(rows, resolved)
    if (isLacking) wantDetails(resolved)
    return isLacking
  }

  /** The error to throw. The cursor is the cause if the database runs the query without it, but not with it. */
  async #findCause(error: unknown, request: Attempt): Promise<unknown> {
    const order = this.resolved
    if (order === undefined) return error
    const { resolved, position } = this.#buildPage(order, request)
    if (position === undefined) return error
    const { dialect } = this.runner
    const failureOf = (build: () => SelectQueryNode) =>
      this.#rows(build).then(
        () => undefined,
        (failure: unknown) => failure ?? error,
      )
    const ownFailure = await failureOf(() => seekStatement(resolved, dialect, 0))
    if (ownFailure !== undefined && !isAborted(ownFailure)) return error
    const isCursorAtFault =
      ownFailure !== undefined
        ? namesCursor(error, position)
        : (await failureOf(() => readKeysStatement(dialect, resolved.keys, position))) ||
          (await failureOf(() => seekStatement(resolved, dialect, 0, position)))
    return isCursorAtFault
      ? new CursorInvalidError('The cursor holds a key that cannot be read', { cause: error })
      : error
  }

  #run<Built extends { readonly statement: RootOperationNode }>(
    build: (node: SelectQueryNode) => Built,
  ): Promise<{ rows: Row[]; built: Built }> {
    const run = () => this.runner.run(build, this.#options.signal)
    return this.#mysqlKeys === undefined ? run() : this.#mysqlKeys.run(run)
  }

  /** The order as the last statement has it. */
  get resolved(): ResolvedQuery | undefined {
    return this.#ordered.resolved
  }

  get #keys(): readonly OrderKey[] {
    return (this.resolved as ResolvedQuery).keys
  }

  #reset(): void {
    this.#ordered.reset()
    this.#fingerprint = undefined
  }

  #positionOf(row: Row): Position {
    return keyTexts[this.runner.dialect].positionOf(row, this.#keys)
  }

  #rows(build: (node: SelectQueryNode) => RootOperationNode): Promise<Row[]> {
    return this.runner.rows(build, this.#options.signal)
  }

  #buildPage(forward: ResolvedQuery, request: Attempt): PageStatement {
    const { cursor, isBackward = false, limit, needsBothFlags = true, keysOnly = false, sortsInstants } = request
    this.#fingerprint ??= fingerprintOf(forward.signature, this.#options.scope)
    const content = cursor === undefined ? undefined : this.#decode(cursor, forward)
    const directed = isBackward ? { ...forward, keys: reversed(forward.keys) } : forward
    const resolved = sortsInstants ? { ...directed, keys: withInstants(directed.keys) } : directed
    const position = content?.position
    const isWalkStart = position === undefined || !needsBothFlags
    // One row more than the page shows whether rows follow it. With a cursor, one more row is the cursor's own.
    const rowCount = position === undefined ? limit + 1 : limit + 2
    const read = keysOnly ? withoutColumns(resolved, this.runner.dialect) : resolved
    const statement = seekStatement(read, this.runner.dialect, rowCount, position, isWalkStart)
    return { statement, resolved, position, page: content?.page }
  }

  #resolve(node: SelectQueryNode): ResolvedQuery {
    return this.#ordered.resolve(node, this.#mysqlKeys, this.runner.dialect === 'sqlite' ? withUnionKeys : undefined)
  }

  #decode(cursor: unknown, { keys }: ResolvedQuery): CursorContent {
    const codec = this.#codec
    let content: CursorContent
    try {
      content = codec.decode(this.#fingerprint as string, cursor)
    } catch (error) {
      if (!(error instanceof CursorInvalidError)) throw error
      const values = codec.decodeLegacy(cursor, error)
      content = { position: positionOfValues(values, keys, this.runner.dialect), page: undefined }
    }
    const { position } = content
    const isValid = position.length === keys.length && keys.every((key, at) => key.isNullable || position[at] !== null)
    if (!isValid) throw new CursorInvalidError('The cursor is not valid')
    if (this.#mysqlKeys !== undefined) expectFitting(position, keys)
    return content
  }
}
