import type { PageDocument } from '../document.ts'
import { clockTime, coverage, span } from '../format.ts'
import { html, type Markup } from '../html.ts'
import { linkTo, type View } from './view.ts'

const scopes = { instance: 'This process', fleet: 'Fleet' } as const
const themes = { auto: 'Auto', light: 'Light', dark: 'Dark' } as const

/** The name of the service or fleet, and the reader's controls. The script alone changes elements with `data-keep`. */
export function header(document: PageDocument, view: View): Markup {
  const { service, release, instance, uptime_ms, generated_at, fleet } = document
  const time = html`<time datetime="${generated_at}">${clockTime(generated_at)}</time>`
  const facts =
    fleet !== null
      ? html`${fleet.instances} instances · ${coverage(document)} · ${time}<br>System, alerts, slow requests and queries are those of instance ${instance}`
      : html`instance ${instance}${release !== null && ` · release ${release}`} · up ${span(uptime_ms)} · ${coverage(document)} · ${time}`
  return html`<header><div><h1>${service ?? 'Performance'}</h1><p class="note">${facts}</p></div>${scopeLinks(view)}${controls}</header>`
}

function scopeLinks(view: View): Markup {
  const scopeLink = ([scope, label]: [string, string]) =>
    html`<a href="${linkTo({ ...view, scope: scope as View['scope'] })}"${
      scope === view.scope && html` aria-current="page"`
    }>${label}</a>`
  return html`<nav class="switch" aria-label="Scope">${Object.entries(scopes).map(scopeLink)}</nav>`
}

const controls = html`<fieldset class="switch" data-keep><legend class="hidden">Colours</legend>${Object.entries(
  themes,
).map(
  ([theme, label]) =>
    html`<label><input type="radio" name="theme" value="${theme}"${
      theme === 'auto' && html` checked`
    }><span>${label}</span></label>`,
)}</fieldset><div class="live" data-keep><p id="status" role="status">Reload for newer numbers</p><button id="pause" type="button" hidden>Pause</button></div>`
