import { nextSort } from '../columns.ts'
import type { PageDocument } from '../document.ts'
import { alertSentence, titleOf } from '../view/alerts.ts'
import { drawCharts, pointedTime } from '../view/charts.ts'
import { content } from '../view/content.ts'
import { linkTo, parseView, selectRows, type View } from '../view/view.ts'
import { morph, morphSelf } from './morph.ts'
import { Stream } from './stream.ts'

/** The server is asked when the reader has stopped typing for this long. */
const typingMs = 250
/** The most rows that are shown: as many as the server sends. */
const maxRows = 200

let view: View = parseView(new URLSearchParams(location.search))
let latest: PageDocument | undefined
let pointedAt: number | undefined
let isRequested = false
const themeKey = 'posthaste-colours'

const byId = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind
const page = byId('page')
const status = byId('status')
const pauseButton = byId<HTMLButtonElement>('pause')
const filter = byId<HTMLInputElement>('filter')

document.documentElement.classList.add('js')
rememberTheme()

const stream = new Stream(streamUrl(), {
  onState(state) {
    if (status.textContent !== state) status.textContent = state
    status.dataset.state = state
  },
  onDocument(document) {
    announce(document)
    latest = document
    requestShow()
  },
})

pauseButton.hidden = false
pauseButton.addEventListener('click', () => {
  stream.paused = !stream.paused
  pauseButton.textContent = stream.paused ? 'Resume' : 'Pause'
})

let typing: ReturnType<typeof setTimeout> | undefined
filter.addEventListener('input', () => changeView({ filter: filter.value.trim() }))
filter.form?.addEventListener('submit', (event) => event.preventDefault())

page.addEventListener('click', (event) => {
  const link = (event.target as Element).closest<HTMLElement>('[data-sort]')
  const isPlain = !(event.ctrlKey || event.metaKey || event.shiftKey)
  if (link === null || latest === undefined || !isPlain) return
  event.preventDefault()
  changeView({ sort: nextSort(view.sort, link.dataset.sort as string) })
})

page.addEventListener('pointermove', ({ target, clientX }) => {
  const plot = (target as Element).closest('svg[role]')
  const { left = 0, width = 1 } = plot?.getBoundingClientRect() ?? {}
  pointAt(plot === null || latest === undefined ? undefined : pointedTime(latest, (clientX - left) / width))
})
page.addEventListener('pointerleave', () => pointAt(undefined))

/** Shows the rows that are here at once, and asks the server, which knows all endpoints. */
function changeView(changes: Partial<View>): void {
  view = { ...view, ...changes }
  show()
  history.replaceState(null, '', linkTo(view))
  clearTimeout(typing)
  typing = setTimeout(
    () => {
      stream.url = streamUrl()
    },
    'filter' in changes ? typingMs : 0,
  )
}

function streamUrl(): string {
  return `${location.pathname.replace(/\/$/, '')}/stream${linkTo(view)}`
}

/** Shows at most once per frame, and not while the page is hidden: a stream that resumes may bring several documents. */
function requestShow(): void {
  if (isRequested) return
  isRequested = true
  requestAnimationFrame(() => {
    isRequested = false
    show()
  })
}

function show(): void {
  if (latest === undefined) return
  morph(page, content(selectRows(latest, view, maxRows), { view, pointedAt }).text)
  document.title = titleOf(latest)
}

function pointAt(at: number | undefined): void {
  if (at === pointedAt) return
  pointedAt = at
  if (latest !== undefined) morphSelf(byId('charts'), drawCharts(latest, pointedAt).text)
}

/** Announces to screen readers the alerts that changed since the last document. */
function announce({ alerts }: PageDocument): void {
  if (latest === undefined) return
  const known = new Set(latest.alerts.map(({ id, target, state }) => `${id} ${target} ${state}`))
  const news = alerts.filter(({ id, target, state }) => state !== 'pending' && !known.has(`${id} ${target} ${state}`))
  if (news.length > 0) byId('announcer').textContent = news.map(alertSentence).join('. ')
}

/** Remembers the choice of colours. The style sheet reads the radio buttons themselves, so they work without a script. */
function rememberTheme(): void {
  const inputs = [...document.querySelectorAll<HTMLInputElement>('[name=theme]')]
  const remembered = inputs.find(({ value }) => value === readTheme())
  if (remembered !== undefined) remembered.checked = true
  for (const input of inputs) {
    input.addEventListener('change', () => writeTheme(input.value))
  }
}

function readTheme(): string | null {
  try {
    return localStorage.getItem(themeKey)
  } catch {
    return null // storage is forbidden
  }
}

function writeTheme(theme: string): void {
  try {
    localStorage.setItem(themeKey, theme)
  } catch {
    // storage is forbidden: the choice holds until the page is left
  }
}
