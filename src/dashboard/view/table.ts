import { type Content, html, type Markup } from '../html.ts'

/** The head of a column: of numbers, or of texts, which stand on the left. */
export type Head = string | { readonly text: string }

/** A page has its limit; what a table leaves out is said below it. */
const maxRows = 20

/** A table whose first column names the row, in a frame that scrolls by itself on a narrow screen. */
export function table(caption: string, heads: readonly Head[], rows: readonly (readonly Content[])[]): Markup {
  const classes = heads.map((head) => typeof head === 'object' && html` class="text"`)
  const shown = frame(
    caption,
    html`<table><caption>${caption}</caption><thead><tr>${heads.map(
      (head, index) => html`<th scope="col"${classes[index]}>${typeof head === 'object' ? head.text : head}</th>`,
    )}</tr></thead><tbody>${rows
      .slice(0, maxRows)
      .map(
        ([name, ...cells]) =>
          html`<tr><th scope="row">${name}</th>${cells.map((cell, index) => html`<td${classes[index + 1]}>${cell}</td>`)}</tr>`,
      )}</tbody></table>`,
  )
  return html`${shown}${rows.length > maxRows && html`<p class="note">and ${rows.length - maxRows} more</p>`}`
}

/** Focusable, because what scrolls must scroll by keyboard too. */
export function frame(label: string, content: Markup): Markup {
  return html`<div class="frame" role="group" aria-label="${label}" tabindex="0">${content}</div>`
}
