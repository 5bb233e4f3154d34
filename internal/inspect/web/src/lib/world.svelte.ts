// What is known of all pages: the captures and the views that there are.

import { place } from './place.svelte'
import type { Capture, ViewInfo } from './types'

class World {
  captures: Capture[] = $state([])
  views: ViewInfo[] = $state([])

  get capture(): Capture | undefined {
    return this.captures.find((c) => c.id === place.capture)
  }
  view(id: string): ViewInfo | undefined {
    return this.views.find((v) => v.id === id)
  }
  // base is the address of the chosen capture.
  get base(): string {
    return `/captures/${place.capture}`
  }
  // generation changes while the capture is still being read, at most a few times, so that answers are asked anew.
  get generation(): number {
    const c = this.capture
    return !c ? -1 : c.done ? 10 : Math.floor(c.progress * 4)
  }
}

export const world = new World()
