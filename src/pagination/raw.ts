import { type OperationNode, RawNode, type ValueNode } from 'kysely'

// Nodes are written as literals: the factories of Kysely freeze, which would be a tenth of a page's time.

/** SQL around nodes, as one node: raw ones among them are taken in, so that little is left to visit when it is compiled. */
export function raw(strings: readonly string[], ...nodes: readonly OperationNode[]): RawNode {
  let sql = strings[0] as string
  const sqlFragments: string[] = []
  const parameters: OperationNode[] = []
  for (let at = 0; at < nodes.length; at++) {
    const node = nodes[at] as OperationNode
    if (RawNode.is(node)) {
      for (let part = 0; part < node.sqlFragments.length; part++) {
        sql += node.sqlFragments[part]
        if (part >= node.parameters.length) continue
        sqlFragments.push(sql)
        parameters.push(node.parameters[part] as OperationNode)
        sql = ''
      }
    } else {
      sqlFragments.push(sql)
      parameters.push(node)
      sql = ''
    }
    sql += strings[at + 1]
  }
  sqlFragments.push(sql)
  return { kind: 'RawNode', sqlFragments, parameters }
}

/** The nodes with SQL between them. */
export function joined(nodes: readonly OperationNode[], separator: string): OperationNode {
  if (nodes.length === 1) return nodes[0] as OperationNode
  return raw(['', ...Array<string>(nodes.length - 1).fill(separator), ''], ...nodes)
}

/** A parameter. */
export function value(of: unknown): ValueNode {
  return { kind: 'ValueNode', value: of }
}

/** SQL as it stands. */
export function constant(sql: string): RawNode {
  return { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
}
