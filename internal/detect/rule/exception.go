package rule

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
)

// exceptionDef is an exception of a rule: combinations of values for which
// the rule does not match.
type exceptionDef struct {
	name string
	at   *where
	// single is set when fields was written as one string. Then there is one
	// field and one operator, and each value is one row of one cell.
	single        bool
	fields, comps []*scalar
	rows          []exceptionRow
	valuesAt      *where
}

// exceptionRow is an element of values.
type exceptionRow struct {
	at    *where
	flat  bool // written as a scalar, not as a list of one
	cells []exceptionCell
}

// exceptionCell is a value, or a list of values.
type exceptionCell struct {
	list   bool
	values []*scalar
}

func cloneExceptions(list []*exceptionDef) []*exceptionDef {
	out := make([]*exceptionDef, len(list))
	for i, x := range list {
		c := *x
		c.rows = slices.Clone(x.rows)
		out[i] = &c
	}
	return out
}

// exceptions reads the exceptions of a rule.
func (e *entry) exceptions() []*exceptionDef {
	n := e.value("exceptions")
	if n == nil || isNull(n) {
		return nil
	}
	at := e.below(kindExceptions, "", n)
	if n.Kind != yaml.SequenceNode {
		e.fail(at, "Rule exceptions must be a sequence")
		return nil
	}
	var out []*exceptionDef
	names := map[string]bool{}
	for _, c := range n.Content {
		c = resolve(c)
		x := &entry{r: e.r, node: c, at: at.at(kindException, "", e.r.scalar(c))}
		if c.Kind != yaml.MappingNode {
			e.fail(x.at, "Rule exception must be a mapping")
			continue
		}
		def := x.exception()
		e.failed = e.failed || x.failed
		if x.failed {
			continue
		}
		if names[def.name] {
			e.r.report(def.at, ExceptionNameNotUnique, "Multiple definitions of exception '%s' in the same rule", def.name)
		}
		names[def.name] = true
		out = append(out, def)
	}
	return out
}

func (e *entry) exception() *exceptionDef {
	def := &exceptionDef{at: e.at}
	if name := e.required("name"); name != nil {
		def.name, e.at.name = name.node.Value, name.node.Value
	}
	if n := e.value("fields"); n != nil && n.Kind != yaml.SequenceNode {
		def.single = true
	}
	def.fields = e.oneOrMany("fields")
	def.comps = e.oneOrMany("comps")
	if comps := e.value("comps"); comps != nil && def.fields != nil && def.single != (comps.Kind != yaml.SequenceNode) {
		e.fail(e.at, "Fields and comps must both be strings or both be lists")
	}
	e.unknownKeys("name", "fields", "comps", "values")
	n := e.value("values")
	if n == nil || isNull(n) {
		return def
	}
	def.valuesAt = e.below(kindExValues, "", n)
	if n.Kind != yaml.SequenceNode {
		e.fail(def.valuesAt, "Rule exception values must be a sequence")
		return def
	}
	for _, c := range n.Content {
		c = resolve(c)
		row := exceptionRow{at: def.valuesAt.at(kindExValue, "", e.r.scalar(c)), flat: c.Kind != yaml.SequenceNode}
		cells := c.Content
		if row.flat {
			cells = []*yaml.Node{c}
		}
		for _, cell := range cells {
			row.cells = append(row.cells, e.cell(row.at, resolve(cell)))
		}
		def.rows = append(def.rows, row)
	}
	return def
}

// oneOrMany returns the scalars of a key that holds one or a sequence.
func (e *entry) oneOrMany(key string) []*scalar {
	n := e.value(key)
	if n == nil || isNull(n) {
		return nil
	}
	if n.Kind == yaml.SequenceNode {
		return e.sequence(key, kindValue)
	}
	if s := e.optional(key); s != nil {
		return []*scalar{s}
	}
	return nil
}

func (e *entry) cell(at *where, n *yaml.Node) exceptionCell {
	cell := exceptionCell{list: n.Kind == yaml.SequenceNode}
	values := []*yaml.Node{n}
	if cell.list {
		values = n.Content
	}
	for _, v := range values {
		if v = resolve(v); !isScalar(v) {
			e.fail(at.at(kindExValue, "", e.r.scalar(v)), "Value is not a scalar value")
			continue
		}
		cell.values = append(cell.values, e.r.scalar(v))
	}
	return cell
}

// checkNewExceptions completes and checks exceptions that are defined, not appended.
func (d *ruleDef) checkNewExceptions(e *entry, list []*exceptionDef) {
	for _, x := range list {
		if x.fields == nil {
			e.invalid(x.at, ErrYAMLValidate, "Item has no mapping for key 'fields'")
			continue
		}
		x.check(e, d)
	}
}

// check completes the operators and checks fields, operators and values for the rule d.
func (x *exceptionDef) check(e *entry, d *ruleDef) {
	if x.comps == nil {
		word := "="
		if x.single {
			word = "in"
		}
		for _, f := range x.fields {
			node := *f.node
			node.Value = word
			x.comps = append(x.comps, &scalar{f.file, &node})
		}
	}
	if len(x.comps) != len(x.fields) {
		e.invalid(x.at, ErrValidate, "Fields and comps lists must have equal length")
		return
	}
	for i, f := range x.fields {
		if !d.unknownSource && !isField(f.node.Value) {
			e.failed = true
			e.r.report(x.at.at(kindValue, "fields", f), ErrValidate, "'%s' is not a supported filter field", f.node.Value).
				suggest(f.node.Value, allFields())
		}
		if c := x.comps[i]; !comparison(c.node.Value, x.single) {
			e.invalid(x.at.at(kindValue, "comps", c), ErrValidate, "'%s' is not a supported comparison operator", c.node.Value)
		}
	}
	for _, row := range x.rows {
		switch {
		case x.single && !row.flat:
			e.invalid(row.at, ErrYAMLValidate, "Value is not a scalar value")
		case !x.single && row.flat:
			e.invalid(row.at, ErrYAMLValidate, "Exception value is not a sequence")
		case !x.single && len(row.cells) != len(x.fields):
			e.invalid(row.at, ErrValidate, "Fields and values lists must have equal length")
		}
	}
}

// comparison reports whether word is an operator with or without modifier;
// an exception with a single field needs one that takes a list.
func comparison(word string, list bool) bool {
	opWord, modWord, two := strings.Cut(strings.Join(strings.Fields(word), " "), " ")
	op, ok := filter.ParseOp(opWord)
	if !ok {
		return false
	}
	if two {
		_, ok := filter.ParseModifier(modWord)
		return ok && op.TakesModifier()
	}
	return op.TakesList() || !list
}

// isField reports whether s is the name of a field, with or without argument in brackets.
func isField(s string) bool {
	name, arg, has := strings.Cut(s, "[")
	if has {
		arg = strings.Trim(strings.TrimSuffix(arg, "]"), `"'`)
	}
	_, err := field.Parse(name, arg, has)
	return err == nil
}

// appendExceptions adds values to exceptions of the same name and adds new ones.
func (d *ruleDef) appendExceptions(e *entry, list []*exceptionDef) {
	for _, x := range list {
		if len(x.rows) == 0 {
			e.r.report(x.at, AppendNoValues, "Overriding/appending exception with no values")
		}
		i := slices.IndexFunc(d.exceptions, func(old *exceptionDef) bool { return old.name == x.name })
		switch {
		case i >= 0 && x.fields != nil:
			e.invalid(x.at, ErrValidate, "Can not append exception fields to existing exception, only values")
		case i >= 0 && x.comps != nil:
			e.invalid(x.at, ErrValidate, "Can not append exception comps to existing exception, only values")
		case i >= 0:
			merged := *d.exceptions[i]
			merged.rows = x.rows
			if merged.check(e, d); !e.failed {
				d.exceptions[i].rows = append(d.exceptions[i].rows, x.rows...)
			}
		case x.fields == nil:
			e.invalid(x.at, ErrValidate, "Rule exception must have fields property with a list of fields")
		case len(x.rows) == 0:
			e.invalid(x.at, ErrValidate, "Rule exception must have values property with a list of values")
		default:
			x.check(e, d)
			d.exceptions = append(d.exceptions, x)
		}
	}
}

// expanded returns the rule's condition with its exceptions.
func (d *ruleDef) expanded() text {
	if len(d.exceptions) == 0 || d.broken {
		return d.condition
	}
	var t builder
	t.generated("(")
	t.add(d.condition)
	t.generated(")")
	for _, x := range d.exceptions {
		if len(x.rows) == 0 {
			continue
		}
		t.generated(" and not ")
		if x.single {
			x.addSingle(&t)
		} else {
			x.addRows(&t)
		}
	}
	return t.text()
}

// addSingle adds the form with one field: (field op (value, value)).
func (x *exceptionDef) addSingle(t *builder) {
	t.addString("("+x.fields[0].node.Value+" ", x.fields[0], 0)
	t.addString(x.comps[0].node.Value+" (", x.comps[0], 0)
	for i, row := range x.rows {
		if i > 0 {
			t.generated(", ")
		}
		v := row.cells[0].values[0]
		t.addString(quoteItem(v.node.Value), v, 0)
	}
	t.generated("))")
}

// addRows adds the form with many fields: ((field op value and field op value) or (…)).
func (x *exceptionDef) addRows(t *builder) {
	for i, row := range x.rows {
		t.generated([]string{"(", " or "}[min(i, 1)])
		for j, cell := range row.cells {
			t.generated([]string{"(", " and "}[min(j, 1)])
			t.addString(x.fields[j].node.Value+" ", x.fields[j], 0)
			t.addString(x.comps[j].node.Value+" ", x.comps[j], 0)
			cell.add(t, x.comps[j].node.Value)
		}
		t.generated(")")
	}
	t.generated(")")
}

// add adds the value behind an operator.
func (c *exceptionCell) add(t *builder, comp string) {
	opWord, _, modified := strings.Cut(comp, " ")
	op, _ := filter.ParseOp(opWord)
	if !c.list {
		v := c.values[0].node.Value
		switch {
		case (modified || op.TakesList()) && !strings.HasPrefix(v, "("):
			v = "(" + quoteItem(v) + ")"
		case !modified && !op.TakesList():
			v = quoteItem(v)
		}
		t.addString(v, c.values[0], 0)
		return
	}
	t.generated("(")
	for i, v := range c.values {
		if i > 0 {
			t.generated(", ")
		}
		t.addString(quoteItem(v.node.Value), v, 0)
	}
	t.generated(")")
}

// quoteItem puts a value with a blank in quotes unless it has some. An empty
// one would leave a gap, so it gets quotes too.
func quoteItem(s string) string {
	if s == "" || strings.Contains(s, " ") && s[0] != '"' && s[0] != '\'' {
		return `"` + s + `"`
	}
	return s
}

// exceptionNames lists the names of exceptions in a line.
func exceptionNames(list []*exceptionDef) string {
	var names []string
	for _, x := range list {
		names = append(names, x.name)
	}
	return strings.Join(names, ", ")
}

func allFields() []string {
	var names []string
	for _, d := range field.All() {
		names = append(names, d.Name)
	}
	return names
}
