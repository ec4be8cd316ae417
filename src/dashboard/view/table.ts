import { type Content, html, type Markup } from '../html.ts'

/** A table whose first column names the row and whose others are numbers, in a frame that scrolls by itself on a narrow screen. */
export function table(
  caption: string,
  heads: readonly Content[],
  rows: readonly (readonly Content[])[],
  kind = '',
): Markup {
  return frame(
    caption,
    html`<table class="${kind}"><caption>${caption}</caption><thead><tr>${heads.map(
      (head) => html`<th scope="col">${head}</th>`,
    )}</tr></thead><tbody>${rows.map(
      ([name, ...cells]) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`,
    )}</tbody></table>`,
  )
}

/** Focusable, because what scrolls must scroll by keyboard too. */
export function frame(label: string, content: Markup): Markup {
  return html`<div class="frame" role="region" aria-label="${label}" tabindex="0">${content}</div>`
}
