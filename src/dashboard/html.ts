/** Text that is HTML already. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** What may stand in a template: texts and numbers are escaped, lists joined, and what is not there leaves nothing. */
export type Content = Markup | string | number | null | undefined | false | readonly Content[]

/**
 * A piece of HTML whose values are escaped, so that a route named `<script>` is a name. Values belong between tags or in
 * quoted attributes.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...values.map(textOf)))
}

function textOf(content: Content): string {
  if (content instanceof Markup) return content.text
  if (Array.isArray(content)) return content.map(textOf).join('')
  if (content === null || content === undefined || content === false) return ''
  return String(content).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
