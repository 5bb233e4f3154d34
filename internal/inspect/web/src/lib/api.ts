// Questions to the server. Times are ns since the epoch, which is beyond 2^53: as numbers of JavaScript they are exact
// to 256 ns, finer than anybody drags on a time line. Events are told apart by their number.

import type { Problem } from './types'

export class ApiError extends Error {
  problem: Problem
  status: number
  constructor(problem: Problem, status: number) {
    super(problem.message)
    this.problem = problem
    this.status = status
  }
}

export type Query = Record<string, string | number | boolean | undefined | null>

export function address(path: string, query: Query = {}): string {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(query)) {
    if (v !== undefined && v !== null && v !== '' && v !== 0) q.set(k, typeof v === 'number' ? BigInt(Math.round(v)).toString() : String(v))
  }
  const text = q.toString()
  return '/api' + path + (text ? '?' + text : '')
}

// What the page does about answers that concern more than who asked.
export const hooks: {
  // lost opens a capture again that is served no more, and returns its new number, null if it is not lost.
  lost: (capture: number) => Promise<number | null>
  refused: () => void // the session is over
} = { lost: () => Promise.resolve(null), refused: () => {} }

async function ask(path: string, query: Query | undefined, signal?: AbortSignal, again = true): Promise<Response> {
  let answer: Response
  try {
    answer = await fetch(address(path, query), { signal })
  } catch (e) {
    if (signal?.aborted) throw e
    throw new ApiError({ message: 'rollcage does not answer. Is it still running?' }, 0)
  }
  if (answer.ok) return answer
  let problem: Problem = { message: `${answer.status} ${answer.statusText}` }
  try {
    problem = (await answer.json()).error
  } catch {
    // not ours; the status says enough
  }
  const about = /^\/captures\/(\d+)(.*)$/.exec(path)
  if (answer.status === 404 && about && again) {
    const id = await hooks.lost(Number(about[1]))
    if (id !== null) return ask(`/captures/${id}${about[2]}`, query, signal, false)
  }
  if (answer.status === 401) hooks.refused()
  throw new ApiError(problem, answer.status)
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await ask(path, query, signal)).json()
}

// follow calls part with each line of a streamed answer and returns the last.
export async function follow<T>(
  path: string,
  query: Query | undefined,
  signal: AbortSignal,
  part: (progress: number, result: T | null) => void,
): Promise<T | null> {
  const answer = await ask(path, query, signal)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  let last: T | null = null
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    const lines = (rest + value).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const v = JSON.parse(line)
      if (v.error) throw new ApiError(v.error, 500)
      last = v.result ?? last
      part(v.progress, last)
    }
  }
  return last
}
