// What the rules say about the chosen capture; asked once for each window, by whoever shows it.

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
    const key = `${world.base} ${place.from} ${place.to}`
    if (key === this.#asked) return
    this.#asked = key
    this.answer.value = null
    void this.answer.ask(`${world.base}/alerts`, { from: place.from, to: place.to })
  }
}

export const judged = new JudgedCapture()
