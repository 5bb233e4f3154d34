package rule

import (
	"errors"
	"maps"
	"slices"

	"rollcage/internal/detect/filter"
)

// manyTypes is how many event types a condition may select before it is
// thought to say nothing about them.
const manyTypes = 100

// rule compiles one rule and adds it to the set.
func (c *compiler) rule(d *ruleDef) {
	r := &Rule{
		Name: d.name, Description: d.description, Condition: d.condition.s, Priority: d.priority, Source: d.source,
		Tags: slices.Sorted(maps.Keys(d.tags)), Enabled: d.enabled, Capture: d.capture,
		CaptureDuration: d.captureDuration, Position: d.position(), History: d.history, output: d.output.s, exceptions: d.exceptions,
	}
	for _, x := range d.exceptions {
		r.Exceptions = append(r.Exceptions, x.name)
	}
	okOutput := c.output(d, r)
	if c.stopped() {
		return
	}
	if c.condition(d, r) && okOutput && !d.broken {
		c.set.Rules = append(c.set.Rules, r)
	}
}

// position is where the item was defined last.
func (n *named) position() Position { return n.at.file.position(n.at.offset) }

// output checks the output of a rule and what is appended to it.
func (c *compiler) output(d *ruleDef, r *Rule) bool {
	out, extra := c.fullOutput(d)
	out, found := out.withoutContainerInfo()
	if found {
		c.problem(c.whole(d.outputAt, d), DeprecatedItem, "%s", c.containerInfoMessage())
	}
	r.Output, r.ExtraFields = out.s, extra
	x := &expr{at: d.outputAt, src: out}
	format, err := c.schema.ParseFormat(out.s)
	if err != nil {
		return c.ruleError(d, x, ErrCompileOutput, err)
	}
	for _, f := range filter.Deprecated(fieldNames(format)) {
		c.problem(d.outputAt, DeprecatedItem, "%s", c.deprecatedMessage(f, true)).Field = f
	}
	for _, f := range extra {
		if _, err := c.schema.ParseFormat(f.format()); err != nil {
			return c.ruleError(d, &expr{at: d.outputAt, src: text{s: f.format()}}, ErrCompileOutput, err)
		}
	}
	return true
}

func fieldNames(f *filter.Format) []string {
	var names []string
	for _, field := range f.Fields() {
		names = append(names, field.Name)
	}
	return names
}

// format returns the format that gives the field's value.
func (f ExtraField) format() string {
	if f.Format != "" {
		return f.Format
	}
	return "%" + f.Key
}

// ruleError reports an error in a condition or output, as a warning if the
// rule asks to be skipped in that case. It returns false.
func (c *compiler) ruleError(d *ruleDef, x *expr, code Code, err error) bool {
	var fe *filter.Error
	if d.skipUnknown && errors.Is(err, filter.ErrUnknown) && errors.As(err, &fe) {
		c.problem(c.inside(x, code, fe.Index), UnknownFilter, "%s", c.message(code, fe))
		return false
	}
	c.expressionError(x, code, err)
	return false
}

// condition compiles the condition of a rule with its exceptions.
func (c *compiler) condition(d *ruleDef, r *Rule) bool {
	x := c.parse(d.conditionAt, d.expanded(), true)
	if x == nil || !c.resolve(x, c.seq+1) {
		return false
	}
	_, warnings, err := c.prog.Add(x.node)
	if x.shared && (err != nil || len(warnings) > 0 || c.opts.Advise) {
		// Something is to be said: with the places in this condition.
		if x = c.parse(d.conditionAt, d.expanded(), false); x == nil || !c.resolve(x, c.seq+1) {
			return false
		}
		_, warnings, err = c.schema.NewProgram().Add(x.node)
	}
	c.lint(d.conditionAt, x.node)
	for _, w := range warnings {
		if err != nil && c.opts.Compatible {
			break // Falco has no warnings about a condition with an error
		}
		c.within(x, w.Macro, w.Index, CompileCondition, w.Msg)
	}
	if err != nil {
		return c.ruleError(d, x, ErrCompileCondition, err)
	}
	selected := filter.Select(x.node)
	if n := selected.Len(); d.source == defaultSource && d.warnEventTypes && (n == 0 || n > manyTypes) {
		c.problem(c.whole(d.conditionAt, d), NoEventType, "Rule matches too many evt.type values. This has a significant performance penalty.")
	}
	if c.opts.Advise && !c.opts.Compatible {
		c.advise(d, x, selected)
	}
	r.node, r.written = x.node, x
	c.shrink(x)
	return true
}
