// What can come next in a condition at the cursor: a field, one of its operators, one of its values. This reads only
// as much of the condition as it needs for that; what is right and wrong the server says.

import { quote } from './format'
import type { Field } from './types'

export interface Offer {
  name: string
  text: string // what is put in
  back?: number // how far the cursor goes back in it
  doc: string
}
export interface Context {
  kind: 'field' | 'operator' | 'value' | 'none'
  field: string // the one compared, with its argument
  word: string // what is already written of it
  inList: boolean
}

const operators = ['=', '==', '!=', '<', '<=', '>', '>=', 'in', 'contains', 'icontains', 'bcontains', 'startswith', 'bstartswith', 'endswith', 'glob', 'iglob', 'regex', 'exists', 'pmatch', 'intersects']
const lists = ['in', 'pmatch', 'intersects']
const name = String.raw`([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+(?:\[[^\]]*\])?)`
const compares = new RegExp(String.raw`${name}\s*(=|!=|==|<=?|>=?|\s(?:[a-z]+)\s)\s*(\((?:[^()]*,)?\s*)?("[^"]*|'[^']*|[^\s(),"'=<>!]*)$`)
const operates = new RegExp(String.raw`${name}\s+([a-z]*|[=!<>]*)$`)

const docs: Record<string, string> = {
  '=': 'is', '!=': 'is not', in: 'is one of', contains: 'has it inside', icontains: 'has it inside, in any case', startswith: 'begins with it', endswith: 'ends with it',
  glob: 'fits a pattern of * and ?', iglob: 'fits a pattern, in any case', regex: 'is matched by a regular expression', '<': 'less', '<=': 'at most', '>': 'more', '>=': 'at least',
  exists: 'has a value', pmatch: 'is a path below one of them', intersects: 'has one of them', bcontains: 'has these bytes inside (hex)', bstartswith: 'begins with these bytes (hex)',
}

// context says what is being written at the end of before.
export function context(before: string, fields: Field[]): Context {
  const value = compares.exec(before)
  const op = value?.[2]!.trim() ?? ''
  if (value && operators.includes(op) && (!lists.includes(op) || value[3])) {
    return { kind: op === 'exists' ? 'none' : 'value', field: value[1]!, word: value[4]!, inList: !!value[3] }
  }
  const operator = operates.exec(before)
  if (operator && known(operator[1]!, fields)) return { kind: 'operator', field: operator[1]!, word: operator[2]!, inList: false }
  return { kind: 'field', field: '', word: /[a-z][a-z0-9_.]*$/.exec(before)?.[0] ?? '', inList: false }
}
const known = (field: string, fields: Field[]) => fields.find((f) => f.name === field.replace(/\[.*/, ''))

// listed returns what to offer, the likeliest first.
export function listed(at: Context, fields: Field[], values: string[]): Offer[] {
  const word = at.word.replace(/^["']/, '')
  if (at.kind === 'field') {
    if (word.length < 2) return []
    return matching(fields, (f) => f.name, word).map((f) => ({
      name: f.name, doc: `${f.type.toLowerCase()} — ${f.doc}`, text: f.arg ? `${f.name}[]` : `${f.name} `, back: f.arg ? 1 : 0,
    }))
  }
  if (at.kind === 'operator') {
    const ops = known(at.field, fields)?.ops ?? []
    return ops.filter((o) => o.startsWith(word) && (o !== word || word === '')).map((o) => ({
      name: o, doc: docs[o] ?? '', text: lists.includes(o) ? `${o} ()` : `${o} `, back: lists.includes(o) ? 1 : 0,
    }))
  }
  if (at.kind === 'none') return []
  return matching(values, (v) => v, word).map((v) => ({ name: v, doc: '', text: plain(v) + (at.inList ? '' : ' ') }))
}
// plain writes a value as short as it can be.
const plain = (v: string) => (/^[\w./:@*+-]+$/.test(v) ? v : quote(v))

// matching returns those that begin with the word, then those that have it inside, at most ten.
function matching<T>(list: T[], text: (x: T) => string, word: string): T[] {
  const w = word.toLowerCase()
  const begins = list.filter((x) => text(x).toLowerCase().startsWith(w) && text(x) !== word)
  const holds = w ? list.filter((x) => text(x).toLowerCase().indexOf(w) > 0) : []
  return [...begins, ...holds].slice(0, 10)
}
