// What the rules say about the chosen capture; asked once for each window and filter, by whoever shows it.

import { Answer } from './answer.svelte'
import { place } from './place.svelte'
import { world } from './world.svelte'

export interface JudgedAlert { event: number; time: number; rule: string; priority: string; tags?: string[]; message: string; pid?: number }
export interface RuleCount { rule: string; priority: string; tags?: string[]; count: number; series: number[] }
export interface Judged { from: number; to: number; ran: number; rules: RuleCount[]; alerts: JudgedAlert[]; leftOut?: number }

class JudgedCapture {
  answer = new Answer<Judged>()
  #asked = ''

  // ask asks when the capture is read and the question is another one.
  ask(): void {
    if (!world.capture?.done) return
    const key = JSON.stringify([world.base, place.filter, place.from, place.to])
    if (key === this.#asked) return
    this.#asked = key
    void this.#answer(key)
  }

  async #answer(key: string): Promise<void> {
    this.answer.value = null
    await this.answer.ask(`${world.base}/alerts`, { filter: place.filter, from: place.from, to: place.to })
    // What could not be answered is asked again by the next page that shows it.
    if (this.#asked === key && this.answer.problem) this.#asked = ''
  }
}

export const judged = new JudgedCapture()
