import { LimitNode, type OperationNode, type SelectQueryNode, ValueNode } from 'kysely'
import type { Position } from '../cursor.ts'
import { CursorUnstableError, KeyNotUniqueError } from '../errors.ts'
import { ofOtherTypes, otherTypes, unreadable } from '../key-text/key-text.ts'
import { fitsType, isWritten, zoneOfKey } from '../key-text/mysql.ts'
import {
  columnsIn,
  databaseOf,
  isOpaque,
  keepsInstants,
  lastUsedDatabase,
  learnColumns,
  markOpaque,
} from '../key-text/mysql-catalog.ts'
import { ColumnsMissing, type KeyType, keyTypeOf, mysqlKeyTypes } from '../key-text/mysql-types.ts'
import { innerKeyOf, isColumnOfTables, type QualifiedName } from '../key-text/query-sources.ts'
import { isGrouped } from './clauses.ts'
import { isDataError } from './data-errors.ts'
import { asTable } from './grouped-query.ts'
import type { QueryRunner, Row } from './query-runner.ts'
import { describeKey, type KeyTypes, type OrderKey } from './sort-keys.ts'
import { asColumn, columnList, nodeKey, raw, sqlText } from './sql-nodes.ts'

/**
 * How many statements may be sent for one page. It may take several, because connections of a pool may be in different
 * databases.
 */
const maxAttempts = 8

/** The types of a query's keys on MariaDB and MySQL, which are looked up when a statement first needs them. */
export class MysqlKeys implements KeyTypes {
  readonly innerKeyOf: KeyTypes['innerKeyOf'] = innerKeyOf
  readonly #runner: QueryRunner
  readonly #signal: AbortSignal | undefined
  readonly #reset: () => void
  #database: string | undefined = lastUsedDatabase()
  // The tables and expressions that the types were found from, and their query.
  #tables: QualifiedName[] = []
  #computed: readonly ComputedKey[] = []
  #query: SelectQueryNode | undefined

  /** @param reset - makes the next run build its statement anew */
  constructor(runner: QueryRunner, signal: AbortSignal | undefined, reset: () => void) {
    this.#runner = runner
    this.#signal = signal
    this.#reset = reset
  }

  /** @throws ColumnsMissing when columns must be looked up first, which {@link run} does */
  typesOf(keys: readonly OperationNode[], query: SelectQueryNode): KeyType[] {
    const tables = new Map<string, QualifiedName>()
    const found = mysqlKeyTypes(keys, query, (table) => {
      tables.set(`${table.schema ?? ''}.${table.name}`, table)
      return columnsIn(this.#database, table)
    })
    const isInstant = (key: OperationNode) =>
      keepsInstants(this.#database) || (!isGrouped(query) && isColumnOfTables(key, query))
    const computed: ComputedKey[] = []
    const types = found.map((ownType, at) => {
      const node = keys[at] as OperationNode
      const type = ownType === 'timestamp' && !isInstant(node) ? 'zoned' : ownType
      if (type !== 'computed' && type !== 'zoned') return type
      const key = computedKey(node, query)
      computed.push(key)
      return isOpaque(this.#database, key.name) ? 'opaque' : type
    })
    this.#tables = [...tables.values()]
    this.#computed = computed
    this.#query = query
    return types.map(keyTypeOf)
  }

  /** Runs a statement, and again if it was built from the types of columns in another database. */
  async run<Built>(run: () => Promise<{ rows: Row[]; built: Built }>): Promise<{ rows: Row[]; built: Built }> {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await run()
        if (attempt === maxAttempts || (await this.isIn(databaseOf(result.rows[0])))) return result
      } catch (error) {
        if (attempt === maxAttempts || !(await this.#isRemedied(error))) throw error
      }
      this.#reset()
    }
  }

  /** Takes the types from this database from now on. Returns whether they are the same as before. */
  async isIn(database: string | undefined): Promise<boolean> {
    if (database === undefined || database === this.#database) return true
    const used = this.#known()
    this.#database = database
    if (this.#tables.some((table) => columnsIn(database, table) === undefined)) await this.#learn(this.#tables)
    return this.#known() === used
  }

  /** Looks up the types again. Returns whether they differ from those before. */
  async #haveChanged(): Promise<boolean> {
    if (this.#tables.length === 0) return false
    const used = this.#known()
    await this.#learn(this.#tables)
    return this.#known() !== used
  }

  /**
   * Reads a page. If that fails because a migration has changed the types of its keys, reads it again with a new
   * statement.
   */
  async read<Page>(read: () => Promise<Page>): Promise<Page> {
    try {
      return await read()
    } catch (error) {
      if (!mayComeOfOldTypes(error) || !(await this.#haveChanged())) throw error
      this.#reset()
      return read()
    }
  }

  /** Everything that the types are found from, as a text to compare. */
  #known(): string {
    const columns = this.#tables.map((table) => columnsIn(this.#database, table))
    return JSON.stringify([columns, this.#computed.map(({ name }) => isOpaque(this.#database, name))])
  }

  async #learn(tables: readonly QualifiedName[]): Promise<void> {
    this.#database = await learnColumns(this.#runner, tables, this.#signal)
  }

  async #isRemedied(error: unknown): Promise<boolean> {
    if (error instanceof ColumnsMissing) {
      await this.#learn(error.tables)
      return true
    }
    if (!isIllegal(error)) return false
    if (await this.#haveChanged()) return true
    // If the query fails without its keys too, as where it compares a UUID with a number, that says nothing about the keys.
    if (this.#query === undefined || (await this.#isIllegal(checking(this.#query, sqlText('1'))))) return false
    const opaque: string[] = []
    for (const { name, asNumber } of this.#computed) {
      if (!isOpaque(this.#database, name) && (await this.#isIllegal(asNumber))) opaque.push(name)
    }
    if (opaque.length > 0) markOpaque(this.#database as string, opaque)
    return opaque.length > 0
  }

  #isIllegal(statement: SelectQueryNode): Promise<boolean> {
    return this.#runner.rows(() => statement, this.#signal).then(() => false, isIllegal)
  }
}

/**
 * @throws CursorInvalidError when the position has a text that no key can have
 * @throws CursorMismatchError when the position is of keys of other types
 */
export function expectFitting(position: Position, keys: readonly OrderKey[]): void {
  if (position.some((text) => text !== null && !isWritten(text))) throw unreadable()
  if (!fits(position, keys)) throw otherTypes()
}

/** Whether these keys can have these texts. */
export function fits(position: Position, keys: readonly OrderKey[]): boolean {
  return position.every((text, at) => text === null || fitsType(text, keys[at] as OrderKey))
}

/** @throws CursorUnstableError for a key that may depend on the time zone, if the row was read in another zone than the position */
export function refuseOtherZone(row: Row | undefined, position: Position, keys: readonly OrderKey[]): void {
  const key = keys.find((key, at) => {
    const zone = zoneOfKey(position[at] ?? '', key)
    // Under `names binary`, the value is bytes.
    return zone !== undefined && row !== undefined && zone !== String(row.posthastez0)
  })
  if (key === undefined) return
  throw new CursorUnstableError(
    `${describeKey(key)} may depend on the time zone of the session, which is not that of the cursor: set one zone on all connections, or page by columns of tables`,
  )
}

/** A key whose column is not known. */
interface ComputedKey {
  /** Identifies the key: it is the same in every run of the query, and differs in a query of other tables. */
  readonly name: string
  /** A statement that returns no rows, and fails when the key cannot be read as a number. */
  readonly asNumber: SelectQueryNode
}

function computedKey(key: OperationNode, query: SelectQueryNode): ComputedKey {
  const { from, joins, with: expressions } = query
  const name = nodeKey({ kind: 'ListNode', items: [key, from, joins, expressions] } as unknown as OperationNode)
  return { name, asNumber: checking(query, raw`${key} + 0e0`) }
}

/** The query with this column alone, and without rows: it fails only when MariaDB refuses its types. */
function checking(query: SelectQueryNode, column: OperationNode): SelectQueryNode {
  const rows = query.setOperations === undefined ? query : asTable(query)
  const selections = [columnList([asColumn(column, 'posthastek0')])]
  return { ...rows, selections, limit: LimitNode.create(ValueNode.createImmediate(0)) }
}

/** Whether the error says that values of this type cannot be used as the statement uses them. */
function isIllegal(error: unknown): boolean {
  return [4078, 4079].includes((Object(error) as { errno?: number }).errno ?? 0)
}

function mayComeOfOldTypes(error: unknown): boolean {
  if (error instanceof CursorUnstableError || error instanceof KeyNotUniqueError || isDataError(error)) return true
  const { cause, message } = Object(error) as { cause?: unknown; message?: unknown }
  return message === ofOtherTypes || isDataError(cause)
}
