/**
 * Makes an element's content that of the HTML, changing only what differs: focus, selection, scroll positions and open
 * menus stay. Elements with `data-keep` are the script's own, and are left alone once they are there.
 */
export function morph(element: Element, html: string): void {
  const template = document.createElement('template')
  template.innerHTML = html
  morphChildren(element, template.content)
}

function morphChildren(current: Node, wanted: Node): void {
  const olds = [...current.childNodes]
  const nodes = [...wanted.childNodes]
  for (const [index, node] of nodes.entries()) {
    const old = olds[index]
    if (old === undefined) current.appendChild(node)
    else if (isSameKind(old, node)) morphNode(old, node)
    else current.replaceChild(node, old)
  }
  for (const old of olds.slice(nodes.length)) current.removeChild(old)
}

function isSameKind(old: Node, node: Node): boolean {
  if (old.nodeName !== node.nodeName) return false
  return !(old instanceof Element && node instanceof Element) || old.id === node.id
}

function morphNode(old: Node, node: Node): void {
  if (!(old instanceof Element && node instanceof Element)) {
    if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue
    return
  }
  if (old.hasAttribute('data-keep')) return
  for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name)
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  morphChildren(old, node)
}
