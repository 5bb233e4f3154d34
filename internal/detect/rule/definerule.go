package rule

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ruleDef is a rule as the files define it, with all that was appended and overridden.
type ruleDef struct {
	named
	condition, output     text
	conditionAt, outputAt *where
	description           string
	priority              Priority
	source                string
	tags                  map[string]bool
	exceptions            []*exceptionDef
	enabled               bool
	capture               bool
	captureDuration       time.Duration
	warnEventTypes        bool
	skipUnknown           bool
	unknownSource         bool
}

const defaultSource = "syscall"

// The keys of a rule that can be overridden.
var (
	ruleAppendable  = []string{"condition", "output", "desc", "tags", "exceptions"}
	ruleReplaceable = append([]string{"priority", "enabled", "capture", "capture_duration", "warn_evttypes",
		"skip-if-unknown-filter"}, ruleAppendable...)
	ruleKeys = append([]string{"rule", "source", "append", "override"}, ruleReplaceable...)
)

func (r *reader) rule(at *where, n *yaml.Node) {
	e, name := r.named(at, kindRule, n)
	o := e.overrides(ruleAppendable, ruleReplaceable)
	appended := e.appends(o)
	switch {
	case e.failed:
	case o.given:
		r.overrideRule(e, name, o)
	case appended:
		r.appendRule(e, name)
	case e.has("enabled") && !slices.ContainsFunc([]string{"condition", "output", "desc", "priority"}, e.has):
		r.enableRule(e, name)
	default:
		r.defineRule(e, name)
	}
	e.unknownKeys(ruleKeys...)
}

func (r *reader) defineRule(e *entry, name string) {
	condition, output := e.required("condition"), e.required("output")
	desc, priority := e.required("desc"), e.required("priority")
	def := &ruleDef{
		named: named{name: name, at: e.at}, enabled: e.boolean("enabled", true),
		capture: e.boolean("capture", false), captureDuration: e.duration("capture_duration"),
		warnEventTypes: e.boolean("warn_evttypes", true), skipUnknown: e.boolean("skip-if-unknown-filter", false),
		tags: e.tags(), exceptions: e.exceptions(), source: defaultSource,
	}
	if priority != nil {
		def.priority = e.priority(priority)
	}
	r.source(e, def)
	def.checkNewExceptions(e, def.exceptions)
	if condition != nil && output != nil && desc != nil {
		def.condition, def.conditionAt = textOf(condition), e.at.at(kindRuleCondition, "", condition)
		def.output, def.outputAt = textOf(output).trim(), e.at.at(kindOutput, "", output)
		def.description = desc.node.Value
	}
	switch {
	case r.stopped():
	case e.failed:
		r.l.rules.miss(def, r.l.next())
	default:
		r.l.rules.put(def, r.l.next())
	}
}

// source reads a rule's source and checks it against that of an earlier
// definition and those that are there.
func (r *reader) source(e *entry, def *ruleDef) {
	old := r.l.rules.byName[def.name]
	if old != nil {
		def.source = old.source
	}
	if s := e.optional("source"); s != nil {
		if def.source = s.node.Value; old != nil && old.source != def.source {
			e.invalid(e.below(kindValue, "source", s.node), ErrValidate, "Rule has been re-defined with a different source")
		}
	}
	if !slices.Contains(r.l.opts.sources(), def.source) {
		def.unknownSource = true
		r.report(e.at, UnknownSource, "Unknown source %s, skipping", def.source)
	}
}

func (e *entry) priority(s *scalar) Priority {
	p, ok := ParsePriority(s.node.Value)
	if !ok {
		e.failed = true
		problem := e.r.report(e.below(kindPriority, "", s.node), ErrYAMLValidate, "Invalid priority")
		if problem.suggest(strings.ToLower(s.node.Value), priorityWords()); problem.Suggestion == "" {
			problem.Suggestion = "use one of " + strings.Join(priorityWords(), ", ")
		}
	}
	return p
}

func (e *entry) duration(key string) time.Duration {
	return time.Duration(e.number(key)) * time.Millisecond
}

func (e *entry) tags() map[string]bool {
	tags := map[string]bool{}
	for _, s := range e.sequence("tags", kindValue) {
		tags[s.node.Value] = true
	}
	return tags
}

// enableRule is an entry that does nothing but switch an earlier rule on or off.
func (r *reader) enableRule(e *entry, name string) {
	enabled := e.boolean("enabled", true)
	if e.failed || r.stopped() {
		return
	}
	old := r.l.rules.byName[name]
	if old == nil {
		e.invalid(e.at, ErrValidate, noSuchRuleOverride).suggest(name, r.l.rules.names())
		return
	}
	r.report(e.at, DeprecatedItem, "The standalone 'enabled' key usage is deprecated. "+
		"The correct approach requires also a 'replace' entry under the 'override' key (i.e. 'enabled: replace').")
	old.enabled = enabled
	old.note(e.at, "enabled set to %v", enabled)
}

// appendRule is an entry with append: true.
func (r *reader) appendRule(e *entry, name string) {
	condition, exceptions := e.optional("condition"), e.exceptions()
	if condition == nil && !e.has("exceptions") && !e.failed {
		e.invalid(e.at, ErrValidate, "Appended rule must have exceptions or condition property")
	}
	old := r.target(e, name, noSuchRuleAppend)
	if old == nil {
		return
	}
	old.appendExceptions(e, exceptions)
	if e.failed {
		return
	}
	if condition != nil {
		old.condition, old.conditionAt = joined(old.condition, condition), e.at.at(kindRuleCondition, "", condition)
		old.note(e.at, "condition appended")
	}
	if len(exceptions) > 0 {
		old.note(e.at, "exceptions appended: %s", exceptionNames(exceptions))
	}
	old.visibility = r.l.next()
}

// target returns the rule that an append or override is for, nil after an
// error; missing says that there is none.
func (r *reader) target(e *entry, name, missing string) *ruleDef {
	if e.failed || r.stopped() {
		return nil
	}
	old := r.l.rules.byName[name]
	if old == nil {
		e.invalid(e.at, ErrValidate, "%s", missing).suggest(name, r.l.rules.names())
		return nil
	}
	if old.broken {
		e.failed = true
		return nil
	}
	if s := e.optional("source"); s != nil && e.has("condition") && s.node.Value != old.source {
		e.invalid(e.below(kindValue, "source", s.node), ErrValidate, "Rule has been re-defined with a different source")
		return nil
	}
	return old
}

// joined appends the value of a scalar to a text after one blank.
func joined(t text, s *scalar) text {
	var out builder
	out.add(t)
	out.generated(" ")
	out.add(textOf(s))
	return out.text()
}

// overrideRule is an entry with the key override. It is read as a whole
// before anything is changed.
func (r *reader) overrideRule(e *entry, name string, o overrides) {
	var changes []func(*ruleDef)
	for _, key := range o.append {
		changes = append(changes, e.appending(key))
	}
	for _, key := range o.repl {
		changes = append(changes, e.replacing(key))
	}
	missing := noSuchRuleOverride
	if len(o.append) > 0 {
		missing = noSuchRuleAppend
	}
	old := r.target(e, name, missing)
	if old == nil {
		return
	}
	changed := *old
	changed.exceptions = cloneExceptions(old.exceptions)
	changed.tags = maps.Clone(old.tags)
	for _, change := range changes {
		change(&changed)
	}
	if e.failed {
		return
	}
	for _, key := range o.append {
		changed.note(e.at, "%s appended", key)
	}
	for _, key := range o.repl {
		changed.note(e.at, "%s replaced", key)
	}
	changed.visibility = r.l.next()
	*old = changed
}

// appending returns what appending the value under a key does to a rule.
func (e *entry) appending(key string) func(*ruleDef) {
	switch key {
	case "tags":
		tags := e.tags()
		return func(d *ruleDef) { maps.Copy(d.tags, tags) }
	case "exceptions":
		exceptions := e.exceptions()
		return func(d *ruleDef) { d.appendExceptions(e, exceptions) }
	}
	s := e.required(key)
	if s == nil {
		return nil
	}
	switch key {
	case "condition":
		at := e.at.at(kindRuleCondition, "", s)
		return func(d *ruleDef) { d.condition, d.conditionAt = joined(d.condition, s), at }
	case "output":
		at := e.at.at(kindOutput, "", s)
		return func(d *ruleDef) { d.output, d.outputAt = joined(d.output, s).trim(), at }
	}
	return func(d *ruleDef) { d.description += " " + s.node.Value }
}

// replacing returns what replacing the value under a key does to a rule.
func (e *entry) replacing(key string) func(*ruleDef) {
	switch key {
	case "tags":
		tags := e.tags()
		return func(d *ruleDef) { d.tags = tags }
	case "exceptions":
		exceptions := e.exceptions()
		return func(d *ruleDef) {
			d.checkNewExceptions(e, exceptions)
			d.exceptions = exceptions
		}
	case "enabled":
		v := e.boolean(key, true)
		return func(d *ruleDef) { d.enabled = v }
	case "capture":
		v := e.boolean(key, false)
		return func(d *ruleDef) { d.capture = v }
	case "capture_duration":
		v := e.duration(key)
		return func(d *ruleDef) { d.captureDuration = v }
	case "warn_evttypes":
		v := e.boolean(key, true)
		return func(d *ruleDef) { d.warnEventTypes = v }
	case "skip-if-unknown-filter":
		v := e.boolean(key, false)
		return func(d *ruleDef) { d.skipUnknown = v }
	}
	s := e.required(key)
	if s == nil {
		return nil
	}
	switch key {
	case "condition":
		at := e.at.at(kindRuleCondition, "", s)
		return func(d *ruleDef) { d.condition, d.conditionAt = textOf(s), at }
	case "output":
		at := e.at.at(kindOutput, "", s)
		return func(d *ruleDef) { d.output, d.outputAt = textOf(s).trim(), at }
	case "priority":
		p := e.priority(s)
		return func(d *ruleDef) { d.priority = p }
	}
	return func(d *ruleDef) { d.description = s.node.Value }
}
