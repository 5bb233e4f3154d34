// Where one is: everything that a link to this state says. The address is the only copy that lasts; going somewhere
// writes it, back and forward read it.

export type Tab = 'overview' | 'views' | 'processes' | 'events' | 'talk' | 'terminals' | 'latency' | 'compare' | 'alerts' | 'incidents' | 'host'

export const tabs: { id: Tab; name: string; key: string }[] = [
  { id: 'overview', name: 'Overview', key: '1' },
  { id: 'views', name: 'Views', key: '2' },
  { id: 'processes', name: 'Processes', key: '3' },
  { id: 'events', name: 'Events', key: '4' },
  { id: 'talk', name: 'Said', key: '5' },
  { id: 'terminals', name: 'Terminals', key: '6' },
  { id: 'latency', name: 'Latency', key: '7' },
  { id: 'compare', name: 'Compare', key: '8' },
  { id: 'alerts', name: 'Alerts', key: '9' },
]

// Those that guard has beside.
export const guardTabs: { id: Tab; name: string; key: string }[] = [
  { id: 'incidents', name: 'Incidents', key: 'i' },
  { id: 'host', name: 'Host', key: 'h' },
]

export interface Step { view: string; value: string }

export interface Place {
  tab: Tab
  capture: number // -1 for the one that in names, as long as it is not open
  in: string // INCIDENT/CAPTURE, where guard has the capture from
  incident: string
  container: string // whose incidents are listed
  filter: string
  from: number // ns, 0 for the start
  to: number // ns, 0 for the end
  view: string
  path: Step[]
  sort: number // -1 for the usual
  desc: boolean
  event: number // selected event
  key: string // terminal session
  search: string
  tiles: string[]
  other: number // capture to compare with
  from2: number
  to2: number
  how: string // which windows are compared
  by: string // '' what is alike, 'number' each row by its key
}

const start: Place = {
  tab: 'overview', capture: 0, in: '', incident: '', container: '', filter: '', from: 0, to: 0, view: '', path: [], sort: -1, desc: true,
  event: 0, key: '', search: '', tiles: [], other: -1, from2: 0, to2: 0, how: '', by: '',
}

const number = (v: string | null, usual: number) => (v !== null && /^-?\d+$/.test(v) ? Number(v) : usual)

function read(): Place {
  const q = new URLSearchParams(location.search)
  const tab = location.pathname.slice(1) as Tab
  let path: Step[] = []
  try {
    const p: unknown = JSON.parse(q.get('path') ?? '[]')
    if (Array.isArray(p)) path = p.filter((s) => typeof s?.view === 'string' && typeof s?.value === 'string')
  } catch {
    // somebody shortened the link; the rest of it still says something
  }
  return {
    tab: [...tabs, ...guardTabs].some((t) => t.id === tab) ? tab : 'overview',
    capture: q.get('in') ? -1 : number(q.get('capture'), 0),
    in: q.get('in') ?? '',
    incident: q.get('incident') ?? '',
    container: q.get('container') ?? '',
    filter: q.get('filter') ?? '',
    from: number(q.get('from'), 0),
    to: number(q.get('to'), 0),
    view: q.get('view') ?? '',
    path,
    sort: number(q.get('sort'), -1),
    desc: q.get('desc') !== '0',
    event: number(q.get('event'), 0),
    key: q.get('key') ?? '',
    search: q.get('search') ?? '',
    tiles: (q.get('tiles') ?? '').split(',').filter(Boolean),
    other: number(q.get('other'), -1),
    from2: number(q.get('from2'), 0),
    to2: number(q.get('to2'), 0),
    how: q.get('how') ?? '',
    by: q.get('by') ?? '',
  }
}

export function linkTo(p: Place): string {
  const q = new URLSearchParams()
  const put = (k: string, v: string | number, usual: string | number) => {
    if (v !== usual) q.set(k, typeof v === 'number' ? (v > 2 ** 53 ? BigInt(Math.round(v)).toString() : String(v)) : v)
  }
  if (p.tab === 'incidents') {
    put('incident', p.incident, '')
    put('container', p.container, '')
  }
  // The number of a capture of guard's holds only until it ends; what it is of lasts.
  if (p.in) q.set('in', p.in)
  else put('capture', Math.max(0, p.capture), 0)
  put('filter', p.filter, '')
  put('from', p.from, 0)
  put('to', p.to, 0)
  if (p.tab === 'views' || p.tab === 'compare') {
    put('view', p.view, '')
    if (p.path.length) q.set('path', JSON.stringify(p.path))
    put('sort', p.sort, -1)
    if (!p.desc) q.set('desc', '0')
  }
  put('event', p.event, 0)
  put('key', p.key, '')
  put('search', p.search, '')
  if (p.tab === 'overview') put('tiles', p.tiles.join(','), '')
  if (p.tab === 'compare') {
    put('other', p.other, -1)
    put('from2', p.from2, 0)
    put('to2', p.to2, 0)
    put('how', p.how, '')
    put('by', p.by, '')
  }
  const text = q.toString()
  return '/' + (p.tab === 'overview' ? '' : p.tab) + (text ? '?' + text : '')
}

export const place: Place = $state(read())

export function go(change: Partial<Place>, replace = false): void {
  const next = { ...$state.snapshot(place), ...change } as Place
  if (change.tab && change.tab !== place.tab) {
    const keep = { ...change }
    next.event = keep.event ?? 0
    next.key = keep.key ?? ''
    next.search = keep.search ?? ''
  }
  Object.assign(place, next)
  const link = linkTo(next)
  if (link === location.pathname + location.search) return
  history[replace ? 'replaceState' : 'pushState'](null, '', link)
}

addEventListener('popstate', () => Object.assign(place, { ...start, ...read() }))
