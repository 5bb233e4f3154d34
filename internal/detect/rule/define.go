package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// named is what lists, macros and rules have in common.
type named struct {
	name string
	at   *where
	// index is the position of the first definition among all items,
	// visibility that of the last definition, append or override.
	index, visibility int
	used              bool
	// broken is set when a mistake in the definition was reported, so that
	// what comes of it need not be.
	broken bool
	// history is what made it what it is, first to last.
	history []Contribution
}

// note adds to what made the item what it is.
func (n *named) note(w *where, format string, args ...any) {
	n.history = append(slices.Clip(n.history), Contribution{w.file.position(w.offset), fmt.Sprintf(format, args...)})
}

func (n *named) base() *named { return n }

type listDef struct {
	named
	items []*scalar
}

type macroDef struct {
	named
	condition   text
	conditionAt *where
}

// collection keeps definitions by name in the order of their first definition.
type collection[T interface{ base() *named }] struct {
	order  []T
	byName map[string]T
}

// put adds a definition or replaces the one of the same name, whose place in
// the order it takes.
func (c *collection[T]) put(def T, seq int) {
	n := def.base()
	n.index, n.visibility = seq, seq
	if old, ok := c.byName[n.name]; ok {
		n.index = old.base().index
		n.history = old.base().history
		n.note(n.at, "defined again, in place of what was before")
		for i := range c.order {
			if c.order[i].base() == old.base() {
				c.order[i] = def
			}
		}
	} else {
		n.note(n.at, "defined")
		c.order = append(c.order, def)
	}
	if c.byName == nil {
		c.byName = map[string]T{}
	}
	c.byName[n.name] = def
}

// miss notes that the definition has a mistake. An earlier one stays.
func (c *collection[T]) miss(def T, seq int) {
	if n := def.base(); n.name != "" && !c.has(n.name) {
		n.broken = true
		c.put(def, seq)
	}
}

func (c *collection[T]) has(name string) bool {
	_, ok := c.byName[name]
	return ok
}

// names returns the names in the order of the definitions.
func (c *collection[T]) names() []string {
	var names []string
	for _, d := range c.order {
		names = append(names, d.base().name)
	}
	return names
}

// next numbers an item.
func (l *loader) next() int {
	l.seq++
	return l.seq
}

// What names are made of, in the words of Falco's messages.
const (
	listNamePattern  = `([^()"'[:space:]=,]+)`
	macroNamePattern = `([a-zA-Z]+[a-zA-Z0-9_]*)`
)

var (
	listName  = regexp.MustCompile("^" + listNamePattern + "$")
	macroName = regexp.MustCompile("^" + macroNamePattern + "$")
)

func (r *reader) list(at *where, n *yaml.Node) {
	e, name := r.named(at, kindList, n)
	if name != "" && !listName.MatchString(name) {
		r.report(e.at, InvalidListName, "List has an invalid name. List names should match a regular expression: %s", listNamePattern)
	}
	if !e.has("items") {
		e.fail(e.at, "Item has no mapping for key 'items'")
	}
	items := e.sequence("items", kindListItem)
	appended := e.appended("items")
	e.unknownKeys("list", "items", "append", "override")
	def := &listDef{named: named{name: name, at: e.at}, items: items}
	switch {
	case r.stopped():
		return
	case e.failed:
		r.l.lists.miss(def, r.l.next())
		return
	}
	old := r.l.lists.byName[name]
	if appended {
		if old == nil {
			e.invalid(e.at, ErrValidate, noSuchList).suggest(name, r.l.lists.names())
			return
		}
		old.items = append(old.items, items...)
		old.note(e.at, "items appended: %s", words(items))
		old.visibility = r.l.next()
		return
	}
	r.l.lists.put(def, r.l.next())
}

func (r *reader) macro(at *where, n *yaml.Node) {
	e, name := r.named(at, kindMacro, n)
	if name != "" && !macroName.MatchString(name) {
		r.report(e.at, InvalidMacroName, "Macro has an invalid name. Macro names should match a regular expression: %s", macroNamePattern)
	}
	condition := e.required("condition")
	appended := e.appended("condition")
	e.unknownKeys("macro", "condition", "append", "override")
	def := &macroDef{named: named{name: name, at: e.at}}
	switch {
	case r.stopped():
		return
	case e.failed:
		r.l.macros.miss(def, r.l.next())
		return
	}
	def.condition, def.conditionAt = textOf(condition), e.at.at(kindMacroCondition, "", condition)
	old := r.l.macros.byName[name]
	if appended {
		if old == nil {
			e.invalid(e.at, ErrValidate, noSuchMacro).suggest(name, r.l.macros.names())
			return
		}
		old.condition, old.conditionAt = joined(old.condition, condition), def.conditionAt
		old.note(e.at, "condition appended")
		old.visibility = r.l.next()
		return
	}
	r.l.macros.put(def, r.l.next())
}

// words lists scalars in a line.
func words(list []*scalar) string {
	var out []string
	for _, s := range list {
		out = append(out, s.node.Value)
	}
	return strings.Join(out, ", ")
}
