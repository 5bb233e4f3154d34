// Numbers, times and hostile text as people read them.

const pad = (n: number, w: number) => String(n).padStart(w, '0')

// clock returns the local time of day; digits is how many of the fraction are shown.
export function clock(ns: number, digits = 3): string {
  if (!ns) return ''
  const ms = Math.floor(ns / 1e6)
  const d = new Date(ms)
  const fraction = pad(Math.floor(ns / 1e3) % 1e6, 6).slice(0, digits)
  return `${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}${digits ? '.' + fraction : ''}`
}

export function date(ns: number): string {
  const d = new Date(ns / 1e6)
  return `${d.getFullYear()}-${pad(d.getMonth() + 1, 2)}-${pad(d.getDate(), 2)} ${clock(ns, 0)}`
}

// zone names the time zone that times are shown in, at a time: it may change with the season.
export function zone(ns: number): string {
  const m = -new Date(ns / 1e6).getTimezoneOffset()
  if (m === 0) return 'UTC'
  const a = Math.abs(m)
  return `UTC${m < 0 ? '−' : '+'}${Math.floor(a / 60)}${a % 60 ? ':' + pad(a % 60, 2) : ''}`
}

export function span(ns: number): string {
  if (ns < 1e3) return `${Math.round(ns)} ns`
  if (ns < 1e6) return `${trim(ns / 1e3)} µs`
  if (ns < 1e9) return `${trim(ns / 1e6)} ms`
  if (ns < 120e9) return `${trim(ns / 1e9)} s`
  if (ns < 7200e9) return `${Math.floor(ns / 60e9)} min ${Math.round((ns % 60e9) / 1e9)} s`
  return `${trim(ns / 3600e9)} h`
}

// trim keeps three digits; a whole number has no fraction.
function trim(x: number): string {
  return (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)).replace(/\.0+$/, '')
}

export function count(n: number): string {
  return Number.isInteger(n) ? n.toLocaleString('en-US') : n.toFixed(1)
}

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let i = 0
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024
    i++
  }
  return `${i === 0 ? Math.round(n) : trim(n)} ${units[i]}`
}

// What acts instead of being read: control characters, what turns text around, and what takes no room, so that two
// names look the same (spaces and fillers of no width, soft hyphens, tags).
const acting =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu

// visible shows what would act: control characters by their picture, the others by their number.
export function visible(text: string): string {
  return text.replace(acting, (c) => {
    const n = c.codePointAt(0)!
    return n < 32 ? String.fromCharCode(0x2400 + n) : n === 127 ? '\u2421' : `‹${n.toString(16).padStart(4, '0')}›`
  })
}

export function decode(base64: string): Uint8Array {
  const raw = atob(base64)
  const out = new Uint8Array(raw.length)
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i)
  return out
}

// binary reports whether most of the data is no text.
export function binary(data: Uint8Array): boolean {
  const some = new TextDecoder('utf-8').decode(data.subarray(0, 512))
  let odd = 0
  for (const c of some) if (c === '\ufffd' || (c < ' ' && !'\t\n\r\x1b\b'.includes(c))) odd++
  return odd > some.length / 4
}

// asText keeps line ends and tabs; all else that is no text becomes visible.
export function asText(data: Uint8Array): string {
  return new TextDecoder('utf-8').decode(data).replace(/\r\n?/g, '\n').split('\n').map((l) => l.split('\t').map(visible).join('\t')).join('\n')
}

export function asHex(data: Uint8Array): string {
  const lines: string[] = []
  for (let i = 0; i < data.length; i += 16) {
    const row = data.subarray(i, i + 16)
    const hex = Array.from(row, (b) => b.toString(16).padStart(2, '0'))
    const chars = Array.from(row, (b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : '.')).join('')
    lines.push(`${i.toString(16).padStart(4, '0')}  ${hex.slice(0, 8).join(' ').padEnd(23)}  ${hex.slice(8).join(' ').padEnd(23)}  ${chars}`)
  }
  return lines.join('\n')
}

// told is the message of an alert as people read it: on the host there is no image to tell about.
export function told(message: string): string {
  return visible(message).replace(/ ?\bimage=:?(?=[ ,)]|$)/g, '')
}

// quote writes a value into a condition.
export function quote(value: string): string {
  return /^[0-9]+$/.test(value) ? value : `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`
}

// and joins conditions.
export function and(...parts: (string | undefined)[]): string {
  const some = parts.map((p) => p?.trim()).filter((p): p is string => !!p)
  return some.length < 2 ? (some[0] ?? '') : some.map((p) => `(${p})`).join(' and ')
}
