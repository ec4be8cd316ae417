import type { SqlDialect } from '../../shared/sql/statement.ts'
import { asColumn, parameter, raw } from '../seek/sql-nodes.ts'
import { comparedByValue, hasNoText, type KeyText, textsIn } from './key-text.ts'
import { mysql } from './mysql.ts'
import { postgres } from './postgres.ts'
import { sqlite } from './sqlite.ts'

/**
 * Style 126 writes times as ISO 8601, and all digits of other types. To compare, SQL Server converts the text to the
 * column's type.
 */
const mssql: KeyText = /* @__PURE__ */ comparedByValue((text) => parameter(text), {
  columns: (keys) => keys.map(({ sql }, at) => asColumn(raw`convert(nvarchar(4000), ${sql}, 126)`, `posthastek${at}`)),
  positionOf: textsIn,
  isNullIn: hasNoText,
  isNull: ({ sql }) => raw`${sql} is null`,
})

export const keyTexts: { readonly [Dialect in SqlDialect]: KeyText } = { postgres, sqlite, mysql, mssql }
