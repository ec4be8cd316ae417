import { nextSort, parseSort } from '../columns.ts'
import type { PageDocument } from '../document.ts'
import { History } from '../history.ts'
import { describeAlert } from '../view/alerts.ts'
import { drawCharts, pointedTime } from '../view/charts.ts'
import { content } from '../view/content.ts'
import { linkTo, type View } from '../view/view.ts'
import { morph } from './morph.ts'
import { Stream } from './stream.ts'
import { rememberTheme } from './theme.ts'

const query = new URLSearchParams(location.search)
const past = new History()
let view: View = { scope: query.get('scope') === 'fleet' ? 'fleet' : 'instance', sort: parseSort(query), filter: '' }
let pointedAt: number | undefined
let isRequested = false

const byId = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind
const page = byId('page')
const status = byId('status')
const pause = byId<HTMLButtonElement>('pause')
const filter = byId<HTMLInputElement>('filter')

document.documentElement.classList.add('js')
rememberTheme()

const stream = new Stream(`${location.pathname.replace(/\/$/, '')}/stream${location.search}`, {
  onState(state) {
    if (status.textContent !== state) status.textContent = state
    status.dataset.state = state
  },
  onDocument(latest) {
    announce(latest)
    past.add(latest)
    requestShow()
  },
})

pause.hidden = false
pause.addEventListener('click', () => {
  stream.paused = !stream.paused
  pause.textContent = stream.paused ? 'Resume' : 'Pause'
})

filter.addEventListener('input', () => change({ filter: filter.value.trim() }))

page.addEventListener('click', (event) => {
  const link = (event.target as Element).closest<HTMLElement>('[data-sort]')
  const isPlain = !(event.ctrlKey || event.metaKey || event.shiftKey)
  if (link === null || past.latest === undefined || !isPlain) return
  event.preventDefault()
  change({ sort: nextSort(view.sort, link.dataset.sort as string) })
  history.replaceState(null, '', linkTo(view))
})

page.addEventListener('pointermove', ({ target, clientX }) => {
  const plot = (target as Element).closest('svg[role]')
  const { left = 0, width = 1 } = plot?.getBoundingClientRect() ?? {}
  point(plot === null ? undefined : pointedTime(past.moments, (clientX - left) / width))
})
page.addEventListener('pointerleave', () => point(undefined))

function change(changes: Partial<View>): void {
  view = { ...view, ...changes }
  show()
}

/** At most once a frame, and not while the page is hidden: a stream that comes back after a while may bring several documents. */
function requestShow(): void {
  if (isRequested) return
  isRequested = true
  requestAnimationFrame(() => {
    isRequested = false
    show()
  })
}

function show(): void {
  const { latest, moments } = past
  if (latest !== undefined) morph(page, content(latest, { view, moments, pointedAt }).text)
}

function point(at: number | undefined): void {
  if (at === pointedAt) return
  pointedAt = at
  morph(byId('charts'), drawCharts({ moments: past.moments, pointedAt }).text)
}

/** Says which alerts came and went since the last document; those of the first one are there to be read. */
function announce({ alerts }: PageDocument): void {
  if (past.latest === undefined) return
  const known = new Set(past.latest.alerts.map(({ id, target, state }) => `${id} ${target} ${state}`))
  const news = alerts.filter(({ id, target, state }) => state !== 'pending' && !known.has(`${id} ${target} ${state}`))
  if (news.length > 0) byId('announcer').textContent = news.map(describeAlert).join('. ')
}
