/**
 * Replaces the content of an element by changing only the nodes that differ, so that focus, selection, scroll positions and
 * open menus stay. Elements with `data-keep` are not changed once they exist.
 */
export function morph(element: Element, html: string): void {
  const template = document.createElement('template')
  template.innerHTML = html
  morphChildren(element, template.content)
}

/** Like {@link morph}, for an element whose new version is the HTML itself. */
export function morphSelf(element: Element, html: string): void {
  const template = document.createElement('template')
  template.innerHTML = html
  const wanted = template.content.firstElementChild
  if (wanted !== null) morphNode(element, wanted)
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
  for (const { name } of [...old.attributes]) {
    // Keep `open`: the reader opens and closes details.
    if (!node.hasAttribute(name) && name !== 'open') old.removeAttribute(name)
  }
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  morphChildren(old, node)
}
