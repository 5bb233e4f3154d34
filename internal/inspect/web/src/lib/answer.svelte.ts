// An answer that is on its way: what it says by now, how far it is, and what went wrong.

import { ApiError, follow, get, type Query } from './api'
import type { Problem } from './types'

export class Answer<T> {
  value: T | null = $state.raw(null)
  progress = $state(1)
  problem: Problem | null = $state(null)
  #abort: AbortController | null = null

  get busy(): boolean {
    return this.progress < 1
  }

  // ask asks anew; an answer to an older question that is still on its way is dropped.
  async ask(path: string, query?: Query, streamed = true): Promise<void> {
    this.#abort?.abort()
    const abort = (this.#abort = new AbortController())
    this.progress = 0
    this.problem = null
    try {
      if (streamed) {
        const last = await follow<T>(path, query, abort.signal, (progress, value) => {
          if (abort.signal.aborted) return
          this.progress = Math.min(progress, 0.999)
          if (value !== null) this.value = value
        })
        if (last !== null) this.value = last
      } else {
        this.value = await get<T>(path, query, abort.signal)
      }
      if (!abort.signal.aborted) this.progress = 1
    } catch (e) {
      if (abort.signal.aborted) return
      this.progress = 1
      this.problem = e instanceof ApiError ? e.problem : { message: String(e) }
    }
  }

  clear(): void {
    this.#abort?.abort()
    this.value = null
    this.progress = 1
    this.problem = null
  }
}
