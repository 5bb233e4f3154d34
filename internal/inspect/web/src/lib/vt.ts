// A terminal's screen: what programs write to a terminal becomes lines of cells, as on an xterm. It knows what shells
// and full-screen programs use (cursor, erase, insert and delete, scroll region, colours, second screen) and ignores the
// rest; nothing that is written can do more than change cells.

export interface Cell { ch: string; style: string }

const blank = (style = ''): Cell => ({ ch: ' ', style })

export class Screen {
  cols: number
  rows: number
  lines: Cell[][] = []
  history: Cell[][] = [] // scrolled out at the top, at most 2000
  x = 0
  y = 0
  #style = { fg: -1, bg: -1, bold: false, dim: false, underline: false, inverse: false }
  #saved = { x: 0, y: 0 }
  #top = 0
  #bottom: number
  #main: { lines: Cell[][]; x: number; y: number } | null = null
  #state: 'text' | 'esc' | 'csi' | 'osc' | 'charset' = 'text'
  #args = ''
  #decoder = new TextDecoder('utf-8')
  #wrap = false

  constructor(cols = 100, rows = 30) {
    this.cols = cols
    this.rows = rows
    this.#bottom = rows - 1
    this.lines = Array.from({ length: rows }, () => this.#line())
  }

  #line(): Cell[] {
    return Array.from({ length: this.cols }, () => blank())
  }

  get #css(): string {
    const s = this.#style
    const [fg, bg] = s.inverse ? [s.bg < 0 ? -2 : s.bg, s.fg < 0 ? -2 : s.fg] : [s.fg, s.bg]
    return [
      fg === -2 ? 'fi' : fg >= 0 ? `f${fg}` : '', bg === -2 ? 'bi' : bg >= 0 ? `b${bg}` : '',
      s.bold ? 'bo' : '', s.dim ? 'di' : '', s.underline ? 'un' : '',
    ].filter(Boolean).join(' ')
  }

  write(data: Uint8Array): void {
    for (const ch of this.#decoder.decode(data, { stream: true })) this.#one(ch)
  }

  #one(ch: string): void {
    const c = ch.codePointAt(0)!
    switch (this.#state) {
      case 'esc':
        this.#state = 'text'
        if (ch === '[') [this.#state, this.#args] = ['csi', '']
        else if (ch === ']' || ch === 'P' || ch === '^' || ch === '_') [this.#state, this.#args] = ['osc', '']
        else if ('()*+#%'.includes(ch)) this.#state = 'charset'
        else this.#escape(ch)
        return
      case 'charset':
        this.#state = 'text'
        return
      case 'csi':
        if (c >= 0x40 && c <= 0x7e) {
          this.#state = 'text'
          this.#control(ch)
        } else if (c === 27) this.#state = 'esc'
        else if (this.#args.length < 64) this.#args += ch
        return
      case 'osc': // titles and the like: left out, up to BEL or ESC \
        if (c === 7) this.#state = 'text'
        else if (c === 27) this.#state = 'esc'
        return
    }
    if (c === 27) this.#state = 'esc'
    else if (c === 13) [this.x, this.#wrap] = [0, false]
    else if (c === 10 || c === 11 || c === 12) this.#down()
    else if (c === 8) [this.x, this.#wrap] = [Math.max(0, this.x - 1), false]
    else if (c === 9) this.x = Math.min(this.cols - 1, (this.x + 8) & ~7)
    else if (c >= 32 && c !== 127 && !(c >= 0x80 && c < 0xa0)) this.#put(ch)
  }

  #put(ch: string): void {
    if (this.#wrap) {
      this.x = 0
      this.#down()
      this.#wrap = false
    }
    this.lines[this.y]![this.x] = { ch, style: this.#css }
    if (this.x === this.cols - 1) this.#wrap = true
    else this.x++
  }

  #down(): void {
    if (this.y === this.#bottom) this.#scroll(1)
    else this.y = Math.min(this.rows - 1, this.y + 1)
  }

  #scroll(n: number): void {
    for (; n > 0; n--) {
      const [gone] = this.lines.splice(this.#top, 1)
      this.lines.splice(this.#bottom, 0, this.#line())
      if (this.#top === 0 && !this.#main && this.history.push(gone!) > 2000) this.history.shift()
    }
    for (; n < 0; n++) {
      this.lines.splice(this.#bottom, 1)
      this.lines.splice(this.#top, 0, this.#line())
    }
  }

  #escape(ch: string): void {
    if (ch === '7') this.#saved = { x: this.x, y: this.y }
    else if (ch === '8') ({ x: this.x, y: this.y } = this.#saved)
    else if (ch === 'D') this.#down()
    else if (ch === 'E') {
      this.x = 0
      this.#down()
    } else if (ch === 'M') {
      if (this.y === this.#top) this.#scroll(-1)
      else this.y = Math.max(0, this.y - 1)
    } else if (ch === 'c') this.#clear()
  }

  #clear(): void {
    this.lines = this.lines.map(() => this.#line())
    this.x = this.y = 0
    this.#top = 0
    this.#bottom = this.rows - 1
  }

  #control(ch: string): void {
    const priv = this.#args.startsWith('?')
    const a = this.#args.replace(/^[?>=!]/, '').split(/[;:]/).map((n) => (n === '' ? -1 : Math.min(Number(n) || 0, 9999)))
    const n = (i: number, usual: number) => (a[i] === undefined || a[i] === -1 ? usual : a[i]!)
    const many = Math.max(1, n(0, 1))
    const line = this.lines[this.y]!
    this.#wrap = false
    switch (ch) {
      case 'A': this.y = Math.max(0, this.y - many); break
      case 'B': case 'e': this.y = Math.min(this.rows - 1, this.y + many); break
      case 'C': case 'a': this.x = Math.min(this.cols - 1, this.x + many); break
      case 'D': this.x = Math.max(0, this.x - many); break
      case 'E': this.x = 0; this.y = Math.min(this.rows - 1, this.y + many); break
      case 'F': this.x = 0; this.y = Math.max(0, this.y - many); break
      case 'G': case '`': this.x = Math.min(this.cols - 1, many - 1); break
      case 'd': this.y = Math.min(this.rows - 1, many - 1); break
      case 'H': case 'f':
        this.y = Math.min(this.rows - 1, many - 1)
        this.x = Math.min(this.cols - 1, Math.max(1, n(1, 1)) - 1)
        break
      case 'J': {
        const what = n(0, 0)
        if (what === 0) { this.#erase(line, this.x, this.cols); this.#eraseLines(this.y + 1, this.rows) }
        else if (what === 1) { this.#erase(line, 0, this.x + 1); this.#eraseLines(0, this.y) }
        else this.#eraseLines(0, this.rows)
        break
      }
      case 'K': {
        const what = n(0, 0)
        this.#erase(line, what === 0 ? this.x : 0, what === 1 ? this.x + 1 : this.cols)
        break
      }
      case 'X': this.#erase(line, this.x, this.x + many); break
      case 'P': line.splice(this.x, many); while (line.length < this.cols) line.push(blank()); break
      case '@': for (let i = 0; i < Math.min(many, this.cols); i++) line.splice(this.x, 0, blank()); line.length = this.cols; break
      case 'L': case 'M': {
        const count = Math.min(many, this.rows)
        for (let i = 0; i < count && this.y >= this.#top && this.y <= this.#bottom; i++) {
          if (ch === 'L') { this.lines.splice(this.#bottom, 1); this.lines.splice(this.y, 0, this.#line()) }
          else { this.lines.splice(this.y, 1); this.lines.splice(this.#bottom, 0, this.#line()) }
        }
        break
      }
      case 'S': this.#scroll(Math.min(many, this.rows)); break
      case 'T': this.#scroll(-Math.min(many, this.rows)); break
      case 'r': {
        const top = Math.max(1, n(0, 1)) - 1
        const bottom = Math.min(this.rows, Math.max(1, n(1, this.rows))) - 1
        if (top < bottom) [this.#top, this.#bottom] = [top, bottom]
        this.x = this.y = 0
        break
      }
      case 's': this.#saved = { x: this.x, y: this.y }; break
      case 'u': ({ x: this.x, y: this.y } = this.#saved); break
      case 'm': this.#colour(a); break
      case 'h': case 'l':
        if (priv && a.some((x) => x === 47 || x === 1047 || x === 1049)) this.#second(ch === 'h')
        break
    }
  }

  #erase(line: Cell[], from: number, to: number): void {
    for (let i = Math.max(0, from); i < Math.min(to, this.cols); i++) line[i] = blank()
  }

  #eraseLines(from: number, to: number): void {
    for (let i = from; i < to; i++) this.lines[i] = this.#line()
  }

  // second switches to the screen that full-screen programs use, and back.
  #second(on: boolean): void {
    if (on && !this.#main) {
      this.#main = { lines: this.lines, x: this.x, y: this.y }
      this.lines = Array.from({ length: this.rows }, () => this.#line())
      this.x = this.y = 0
    } else if (!on && this.#main) {
      ;({ lines: this.lines, x: this.x, y: this.y } = this.#main)
      this.#main = null
    }
    this.#top = 0
    this.#bottom = this.rows - 1
  }

  #colour(a: number[]): void {
    const s = this.#style
    for (let i = 0; i < a.length; i++) {
      const v = Math.max(0, a[i]!)
      if (v === 0) Object.assign(s, { fg: -1, bg: -1, bold: false, dim: false, underline: false, inverse: false })
      else if (v === 1) s.bold = true
      else if (v === 2) s.dim = true
      else if (v === 4) s.underline = true
      else if (v === 7) s.inverse = true
      else if (v === 22) s.bold = s.dim = false
      else if (v === 24) s.underline = false
      else if (v === 27) s.inverse = false
      else if (v >= 30 && v <= 37) s.fg = v - 30
      else if (v >= 90 && v <= 97) s.fg = v - 82
      else if (v >= 40 && v <= 47) s.bg = v - 40
      else if (v >= 100 && v <= 107) s.bg = v - 92
      else if (v === 39) s.fg = -1
      else if (v === 49) s.bg = -1
      else if (v === 38 || v === 48) {
        const which = v === 38 ? 'fg' : 'bg'
        if (a[i + 1] === 5) s[which] = nearest256(a[i + 2] ?? 0)
        else if (a[i + 1] === 2) s[which] = nearestRGB(a[i + 2] ?? 0, a[i + 3] ?? 0, a[i + 4] ?? 0)
        i += a[i + 1] === 5 ? 2 : 4
      }
    }
  }

  // text returns all that was on the screen, without colours.
  text(): string {
    return [...this.history, ...this.lines].map((l) => l.map((c) => c.ch).join('').trimEnd()).join('\n').trimEnd()
  }
}

// Colours beyond the 16 of the page's style sheet become the nearest of them.
function nearest256(n: number): number {
  if (n < 16) return Math.max(0, n)
  if (n >= 232) return n < 238 ? 0 : n < 244 ? 8 : n < 250 ? 7 : 15
  n -= 16
  return nearestRGB(Math.floor(n / 36) * 51, (Math.floor(n / 6) % 6) * 51, (n % 6) * 51)
}

function nearestRGB(r: number, g: number, b: number): number {
  const most = Math.max(r, g, b)
  if (most < 48) return 0
  const bits = (r > most / 2 ? 1 : 0) | (g > most / 2 ? 2 : 0) | (b > most / 2 ? 4 : 0)
  return bits + (most > 190 ? 8 : 0)
}
