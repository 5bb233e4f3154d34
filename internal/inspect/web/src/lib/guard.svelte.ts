// What guard serves beside captures: who is logged in, incidents, actions. Absent when only captures are explored.

import { ApiError, address, get } from './api'
import type { Problem } from './types'

export type Role = '' | 'viewer' | 'responder' | 'admin'
export interface Session { guard: boolean; admitted?: boolean; name?: string; role?: Role; via?: string; expires?: string }

const ranks: Record<string, number> = { '': 0, viewer: 1, responder: 2, admin: 3 }

class Guard {
  session: Session | null = $state(null)
  reveal = $state(false)
  ended = $state(false) // somebody was logged in and is no more


  get on(): boolean {
    return this.session?.guard ?? false
  }
  get loggedIn(): boolean {
    return !!this.session?.role
  }
  // admitted says whether captures may be asked for.
  get admitted(): boolean {
    return this.on ? this.loggedIn : (this.session?.admitted ?? false)
  }
  may(role: Role): boolean {
    return (ranks[this.session?.role ?? ''] ?? 0) >= (ranks[role] ?? 9)
  }
  async load(): Promise<void> {
    this.session = await get<Session>('/v1/session')
  }
}

export const guard = new Guard()

// send changes something. The header shows the server that a page of its own asks.
export async function send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  let answer: Response
  try {
    answer = await fetch(address('/v1' + path), {
      method,
      headers: { 'X-Rollcage': '1', 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch {
    throw new ApiError({ message: 'rollcage does not answer. Is it still running?' }, 0)
  }
  if (answer.ok) return answer.json()
  let problem: Problem = { message: `${answer.status} ${answer.statusText}` }
  try {
    problem = (await answer.json()).error
  } catch {
    // not ours; the status says enough
  }
  throw new ApiError(problem, answer.status)
}

export const message = (e: unknown) => (e instanceof ApiError ? e.problem.message : String(e))

// live calls changed soon after something was added to an incident, and now and then anyway.
export function live(changed: () => void): () => void {
  let soon: ReturnType<typeof setTimeout> | undefined
  const note = () => {
    soon ??= setTimeout(() => {
      soon = undefined
      changed()
    }, 500)
  }
  let source: EventSource
  const listen = () => {
    source = new EventSource('/api/v1/alerts/stream')
    for (const kind of ['alert', 'action', 'outcome', 'capture', 'note', 'closed', 'missed']) source.addEventListener(kind, note)
  }
  listen()
  const timer = setInterval(() => {
    if (source.readyState === EventSource.CLOSED) listen() // the browser gives up when guard is away for a while
    note()
  }, 30_000)
  return () => {
    source.close()
    clearInterval(timer)
    clearTimeout(soon)
  }
}

// stamp shows a time of the server in local time.
export function stamp(t: string | number | undefined): string {
  if (!t) return ''
  const d = typeof t === 'number' ? new Date(t / 1e6) : new Date(t)
  const pad = (n: number, w = 2) => String(n).padStart(w, '0')
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)}`
}

export const severe = (priority: string) => ['Emergency', 'Alert', 'Critical', 'Error'].includes(priority)

export interface Summary {
  incident: string
  host: string
  first: string
  last: string
  container?: string
  name?: string
  image?: string
  priority: string
  rules: string[] | null
  alerts: number
  captures: number
  actions: number
  failed_actions: number
  open: boolean
}
export interface Rec { seq: number; time: string; kind: string; data: any }
export interface InForce { id: string; incident: string; kind: string; until?: string }
export interface ActDone { id: string; dry_run: boolean; text: string; ok: boolean; confirm?: string }
