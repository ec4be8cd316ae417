import { type Content, html, type Markup } from '../html.ts'

/** The head of a column: a string for a column of numbers, an object for a column of text, which is aligned to the left. */
export type Head = string | { readonly text: string }

/** The size of a page is limited. A note below the table counts the rows left out. */
const maxRows = 20

/** A table whose first column names the row, in a frame that scrolls on a narrow screen. */
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

/** Focusable, so that it also scrolls by keyboard. A `tall` frame scrolls up and down too. */
export function frame(label: string, content: Markup, kind?: 'tall'): Markup {
  return html`<div class="frame${kind && ` ${kind}`}" role="group" aria-label="${label}" tabindex="0">${content}</div>`
}
