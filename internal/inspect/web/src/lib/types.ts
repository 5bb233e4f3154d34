// What the server answers with; package api is the source of these shapes.

export interface Capture {
  id: number
  name: string
  size: number
  packed: boolean
  hostname?: string
  cpus?: number
  start: number
  end: number
  events: number
  last: number
  sections: number
  progress: number
  done: boolean
  problem?: string
  indexed: boolean
}

export interface Tile {
  id: string
  name: string
  description: string
  category: string
  total: number
  max: number
  unit: 'count' | 'bytes' | 'level'
  series: number[]
  noteworthy: boolean
  view?: string
  filter?: string
  sort: number
}

export interface Overview {
  from: number
  to: number
  tiles: Tile[]
}

export interface ViewInfo {
  id: string
  name: string
  description: string
  kind: 'table' | 'list' | 'spectrogram'
  drill?: string
  appliesTo: string[]
  filter?: string
  key?: string
}

export interface Column { name: string; field: string; doc: string; number: boolean }
export interface Row { key: string; text: string[]; values: unknown[] }
export interface Rows {
  view: string
  columns: Column[]
  rows: Row[]
  total: number
  left: number
  sort: number
  desc: boolean
  condition: string
  keyField: string
  next: string[] | null
}

export interface EventLine {
  num: number
  time: number
  cpu: number
  container?: string
  process: string
  pid: number
  tid: number
  type: string
  failed?: boolean
  args: string
  fd?: string
  latency?: number
}
export interface EventPage { total: number; done: boolean; offset: number; events: EventLine[] }
export interface EventDetail extends EventLine {
  params: { name: string; type: string; value: string }[]
  fields: { name: string; class: string; doc: string; text: string; value: unknown }[]
  prev?: number
  next?: number
}

export interface Image {
  time: number
  exec: boolean
  comm: string
  exe: string
  args?: string[]
  cwd?: string
  uid: number
  user?: string
  tty?: number
}
export interface Process {
  id: number
  parent: number
  pid: number
  vpid: number
  start: number
  end: number
  first: number
  last: number
  born: boolean
  exit?: string
  container?: string
  containerName?: string
  images: Image[]
  threads?: number
  events: number
  errors?: number
  read?: number
  written?: number
}
export interface Processes { processes: Process[] | null; total: number; leftOut: number }

export interface Message {
  protocol: string
  request: boolean
  summary: string
  error?: boolean
  details?: { name: string; value: string }[]
}
export interface Piece {
  num: number
  time: number
  read: boolean
  data: string // base64
  length: number
  pid: number
  tid: number
  process: string
  container?: string
  fd: number
  type: string
  name: string
  messages?: Message[]
}
export interface Talk { pieces: Piece[]; more?: number; found?: number }

export interface Terminal {
  key: string
  name: string
  container?: string
  process: string
  pid: number
  start: number
  end: number
  input: number
  output: number
  cut: number
  remote?: boolean
}
export interface Frame { num: number; time: number; input: boolean; data: string; cut?: number; process: string; pid: number }

export interface Slow { name: string; count: number; total: number; max: number; event: number }
export interface Latencies {
  from: number
  to: number
  bounds: number[]
  cells: number[][]
  known: number
  unknown: number
  states: Slow[]
  calls: Slow[]
  files: Slow[]
  peers: Slow[]
}

export interface Comparison {
  view: string
  columns: Column[]
  sort: number
  rows: { key: string; kind: 'new' | 'gone' | 'more' | 'less' | 'same'; a: string[] | null; b: string[] | null; change: number; countA?: number; countB?: number }[]
  total: number
  joined?: boolean
}

export interface Field { name: string; class: string; type: string; doc: string; example: string; arg?: boolean; ops?: string[] }

export interface Problem { message: string; index?: number; line?: number; column?: number; hint?: string }
