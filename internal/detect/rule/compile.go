package rule

import (
	"errors"
	"fmt"

	"rollcage/internal/detect/filter"
)

// compiler turns what a loader collected into a ruleset.
type compiler struct {
	*loader
	items map[string][]string // lists with the lists in them put in
	macro map[string]*macroExpr
	seen  map[string]bool // problems inside macros that were reported
	set   *Ruleset

	// What the conditions of many rules have in common is read and compiled once.
	long filter.Lists
	prog *filter.Program
}

// expr is a condition on its way from text to a tree.
type expr struct {
	at     *where
	own    text        // with exceptions
	src    text        // with lists too; see source
	again  func() text // makes src again, nil while it is there
	node   filter.Node // macros are put in once resolved
	macros []string    // that it names itself, in order
	lists  []string
	shared bool // lists in node are those of an earlier condition, with its positions
}

// macroExpr is a macro while macros are put into each other.
type macroExpr struct {
	*expr
	def       *macroDef
	resolving bool
	resolved  bool
}

// compile compiles all that was collected so far.
func (l *loader) compile() *Ruleset {
	c := &compiler{loader: l, items: map[string][]string{}, macro: map[string]*macroExpr{}, seen: map[string]bool{}}
	c.prog = l.schema.NewProgram()
	c.set = &Ruleset{schema: l.schema, Plugins: l.requirements(), EngineVersion: l.engine}
	c.resolveLists()
	c.parseMacros()
	for _, m := range l.macros.order {
		if !c.stopped() {
			c.resolveMacro(m.name)
		}
	}
	for _, d := range l.rules.order {
		// A rule with a mistake elsewhere still has its condition looked at.
		if !c.stopped() && d.conditionAt != nil && !d.unknownSource {
			c.rule(d)
		}
	}
	if !c.stopped() {
		c.unused()
		c.parts()
	}
	return c.set
}

// stopped reports whether the first error ended the work.
func (c *compiler) stopped() bool { return c.opts.Compatible && !c.res.OK() }

func (c *compiler) resolveLists() {
	for _, d := range c.lists.order {
		d.used = false
	}
	for _, d := range c.lists.order {
		items := make([]string, 0, len(d.items))
		for _, s := range d.items {
			inner := c.lists.byName[s.node.Value]
			if inner == nil || inner.index >= d.visibility {
				items = append(items, quoteItem(s.node.Value))
				continue
			}
			inner.used = true
			for _, s := range inner.items {
				items = append(items, quoteItem(s.node.Value))
			}
		}
		c.items[d.name] = items
	}
}

// parse puts the lists into a condition and parses it; nil after an error.
// With share, lists may be those of an earlier condition.
func (c *compiler) parse(at *where, src text, share bool) *expr {
	x := &expr{at: at, own: src}
	var ok bool
	if x.src, x.lists, ok = c.withLists(src); !ok {
		c.problem(at, ErrCompileCondition, "the condition is longer than %d bytes once its lists are put in", maxExpanded)
		return nil
	}
	for _, name := range x.lists {
		c.lists.byName[name].used = true
	}
	var node filter.Node
	var err error
	if share {
		node, x.shared, err = c.long.Parse(x.src.s)
	} else {
		node, err = filter.Parse(x.src.s)
	}
	if err != nil {
		c.expressionError(x, ErrCompileCondition, err)
		return nil
	}
	x.node = node
	x.macros, _ = filter.UsedNames(node)
	return x
}

// withLists puts the lists into a condition and returns which. It reports false
// if the condition gets too long.
func (c *compiler) withLists(src text) (out text, names []string, ok bool) {
	for _, d := range c.lists.order {
		var used bool
		if src, used = src.substitute(d.name, c.items[d.name]); used {
			names = append(names, d.name)
		}
		if len(src.s) > maxExpanded {
			return src, names, false
		}
	}
	return src, names, true
}

// longText is from which number of bytes on the text of a condition is not
// kept: thousands of rules may name a list of thousands of items.
const longText = 16 << 10

// shrink drops a long text; source makes it again.
func (c *compiler) shrink(x *expr) {
	if len(x.src.s) > longText {
		x.src = text{}
		x.again = func() text { src, _, _ := c.withLists(x.own); return src }
	}
}

// source returns the text with lists and exceptions.
func (x *expr) source() text {
	if x.again != nil {
		return x.again()
	}
	return x.src
}

// macroRefs returns the places where a condition names macros.
func macroRefs(n filter.Node) []*filter.Ident {
	var out []*filter.Ident
	filter.Walk(n, func(n filter.Node) bool {
		switch n := n.(type) {
		case *filter.Check:
			return false
		case *filter.Ident:
			out = append(out, n)
			return false
		}
		return true
	})
	return out
}

// exprKind returns the level on which a problem with that code is.
func exprKind(code Code) string {
	if code == ErrCompileOutput {
		return kindOutputExpr
	}
	return kindExpression
}

// expressionError reports an error of package filter about a condition or output.
func (c *compiler) expressionError(x *expr, code Code, err error) {
	var fe *filter.Error
	if !errors.As(err, &fe) {
		c.problem(x.at, code, "%v", err)
		return
	}
	if p := c.within(x, fe.Macro, fe.Index, code, c.message(code, fe)); p != nil {
		p.Suggestion = fe.Hint
	}
}

// within reports a problem at byte index of an expression or of a macro that
// it uses. What is wrong with a macro is said once, however many use it, and
// at its own place; Falco says it for each as if it stood there.
func (c *compiler) within(x *expr, macro string, index int, code Code, message string) *Problem {
	w := c.inside(x, code, index)
	if m := c.macro[macro]; macro != "" && m != nil && !c.opts.Compatible {
		key := fmt.Sprint(macro, index, message)
		if c.seen[key] {
			return nil
		}
		c.seen[key] = true
		w = m.at.in(kindExpression, m.src, index)
	}
	return c.problem(w, code, "%s", message)
}

func (c *compiler) parseMacros() {
	for _, d := range c.macros.order {
		d.used = false
	}
	for _, d := range c.macros.order {
		if d.broken || c.stopped() {
			continue
		}
		if x := c.parse(d.conditionAt, d.condition, false); x != nil {
			c.macro[d.name] = &macroExpr{expr: x, def: d}
		}
	}
}

// resolveMacro puts the macros into a macro and returns it; nil if that is
// not possible, which was reported.
func (c *compiler) resolveMacro(name string) *macroExpr {
	m := c.macro[name]
	if m == nil || m.resolved {
		return m
	}
	m.resolving = true
	ok := c.resolve(m.expr, m.def.visibility)
	m.resolving = false
	if !ok {
		delete(c.macro, name)
		return nil
	}
	m.resolved = true
	return m
}

// resolve puts the macros into a condition that may use those defined before
// the given position. It reports false after an error.
func (c *compiler) resolve(x *expr, visibility int) bool {
	known, ok := map[string]filter.Node{}, true
	for _, id := range macroRefs(x.node) {
		def := c.macros.byName[id.Name]
		switch {
		case def == nil || def.index >= visibility:
			ok = false
			c.undefined(x, id, def)
			continue
		case c.macro[id.Name] == nil: // it has an error of its own
			def.used, ok = true, false
			continue
		case c.macro[id.Name].resolving:
			ok = false
			c.problem(c.macroUse(x, id), ErrValidate, "reference loop in macro '%s'", id.Name)
			continue
		}
		def.used = true
		if m := c.resolveMacro(id.Name); m != nil {
			known[id.Name] = m.node
		} else {
			ok = false
		}
	}
	if !ok {
		return false
	}
	node, err := filter.Expand(x.node, func(name string) (filter.Node, error) { return known[name], nil })
	if err != nil {
		c.expressionError(x, ErrCompileCondition, err)
		return false
	}
	x.node = node
	return true
}

// undefined reports the use of a macro that is not there or comes too late.
func (c *compiler) undefined(x *expr, id *filter.Ident, def *macroDef) {
	p := c.problem(c.macroUse(x, id), ErrValidate, "Undefined macro '%s' used in filter.", id.Name)
	if def != nil {
		p.Suggestion = fmt.Sprintf("macro '%s' is defined later: move its definition up", id.Name)
		return
	}
	p.suggest(id.Name, c.macros.names())
}

// unused warns about macros and lists that nothing refers to. What has errors
// might refer to them.
func (c *compiler) unused() {
	for _, r := range c.results {
		if !r.OK() {
			return
		}
	}
	for _, d := range c.macros.order {
		if !d.used && !d.broken {
			c.problem(d.at, UnusedMacro, "Macro not referred to by any other rule/macro")
		}
	}
	for _, d := range c.lists.order {
		if !d.used && !d.broken {
			c.problem(d.at, UnusedList, "List not referred to by any other rule/macro")
		}
	}
}

func (l *loader) requirements() []PluginRequirement {
	out := make([]PluginRequirement, len(l.plugins))
	for i, p := range l.plugins {
		out[i] = p.PluginRequirement
	}
	return out
}

// lint warns about what a condition says and should not.
func (c *compiler) lint(at *where, n filter.Node) {
	for _, f := range filter.UnsafeNA(n) {
		c.problem(at, UnsafeNACheck, "Unsafe comparison of field '%s' with <NA>", f)
	}
	for _, f := range filter.Deprecated(filter.UsedFields(n)) {
		c.problem(at, DeprecatedItem, "%s", c.deprecatedMessage(f, false)).Field = f
	}
}

// parts adds macros and lists to the set.
func (c *compiler) parts() {
	for _, d := range c.macros.order {
		if m := c.macro[d.name]; m != nil && m.resolved {
			c.set.Macros = append(c.set.Macros, &Macro{
				Name: d.name, Condition: d.condition.s, Used: d.used, Position: d.position(), History: d.history, expr: m.expr,
			})
		}
	}
	for _, d := range c.lists.order {
		l := &List{Name: d.name, Compiled: c.items[d.name], Used: d.used, Position: d.position(), History: d.history}
		for _, s := range d.items {
			l.Items = append(l.Items, s.node.Value)
			if inner := c.lists.byName[s.node.Value]; inner != nil && inner.index < d.visibility {
				l.lists = append(l.lists, s.node.Value)
			}
		}
		c.set.Lists = append(c.set.Lists, l)
	}
}
