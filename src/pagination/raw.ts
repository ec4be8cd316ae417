import { type OperationNode, RawNode } from 'kysely'

/** SQL around nodes, as a node. */
export function raw(strings: TemplateStringsArray, ...nodes: OperationNode[]): RawNode {
  return RawNode.create(strings, nodes)
}

/** The nodes with SQL between them. */
export function joined(nodes: readonly OperationNode[], separator: string): OperationNode {
  if (nodes.length === 1) return nodes[0] as OperationNode
  return RawNode.create(['', ...Array<string>(nodes.length - 1).fill(separator), ''], nodes)
}
