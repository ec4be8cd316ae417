/** Text that is already escaped HTML. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** A value in a template: text and numbers are escaped, lists are joined, `null`, `undefined` and `false` are empty. */
export type Content = Markup | string | number | null | undefined | false | readonly Content[]

/**
 * Builds HTML and escapes the values, so that a route named `<script>` is shown as a name. Put values between tags or in quoted
 * attributes only.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...values.map(textOf)))
}

/** A method and its route, which a narrow column may break after a slash. */
export function endpointName(method: string, route: string): Markup {
  const segments = route.split('/').map((segment, place) => html`${place > 0 && html`/<wbr>`}${segment}`)
  return html`<span class="method">${method}</span> ${segments}`
}

function textOf(content: Content): string {
  if (content instanceof Markup) return content.text
  if (Array.isArray(content)) return content.map(textOf).join('')
  if (content === null || content === undefined || content === false) return ''
  return String(content).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
