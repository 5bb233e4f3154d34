package alert

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/host"
)

// FormatterOptions change what alerts say. The zero value is good.
type FormatterOptions struct {
	// ISO8601 names the field with the event's time evt.time.iso8601 instead of evt.time.
	ISO8601 bool
	// Style says how buffers and ports become text, nil for the usual way.
	Style *field.Style
	// Hostname is the name that alerts carry, [Hostname] if empty.
	Hostname string
}

// Formatter makes alerts from matches. It is used by one goroutine, the one
// that runs the engine.
type Formatter struct {
	rules    []ruleFormat // by Match.Index
	hostname string
	timeKey  string
	buf      []byte
}

// ruleFormat is what the alerts of a rule are made from.
type ruleFormat struct {
	output *filter.Format
	extra  []extraFormat
}

type extraFormat struct {
	key    string
	format *filter.Format
	value  *filter.FormatField // set if the field's own value is wanted, not a text
}

// NewFormatter prepares the outputs of the rules that an engine runs.
func NewFormatter(e *rule.Engine, opts FormatterOptions) (*Formatter, error) {
	f := &Formatter{hostname: opts.Hostname, timeKey: "evt.time"}
	if opts.ISO8601 {
		f.timeKey = "evt.time.iso8601"
	}
	if f.hostname == "" {
		f.hostname = Hostname()
	}
	for _, m := range e.Rules() {
		rf, err := newRuleFormat(e.Ruleset(), m.Rule, opts.Style)
		if err != nil {
			return nil, fmt.Errorf("rule %q: output: %w", m.Name, err)
		}
		f.rules = append(f.rules, rf)
	}
	return f, nil
}

// newRuleFormat compiles a rule's output, in which missing values are always shown.
func newRuleFormat(set *rule.Ruleset, r *rule.Rule, style *field.Style) (rf ruleFormat, err error) {
	if rf.output, err = set.ParseFormat("*" + strings.TrimPrefix(r.Output, "*")); err != nil {
		return rf, err
	}
	rf.output.SetStyle(style)
	for _, x := range r.ExtraFields {
		ef := extraFormat{key: x.Key}
		text := "*" + x.Format
		if x.Format == "" {
			text = "*%" + x.Key
		}
		if ef.format, err = set.ParseFormat(text); err != nil {
			return rf, err
		}
		ef.format.SetStyle(style)
		if fields := ef.format.Fields(); x.Format == "" && len(fields) == 1 {
			ef.value = fields[0]
		}
		rf.extra = append(rf.extra, ef)
	}
	return rf, nil
}

// Alert returns the alert about an event that matched.
func (f *Formatter) Alert(m *rule.Match, e *host.Event) *Alert {
	rf := &f.rules[m.Index]
	a := &Alert{
		Time: time.Unix(0, int64(e.Time())), Rule: m.Name, Priority: m.Priority, Source: m.Source, Tags: m.Tags,
		Hostname: f.hostname, Fields: make([]Field, 0, len(rf.output.Fields())+len(rf.extra)+1),
	}
	f.buf, _ = rf.output.AppendText(f.buf[:0], e)
	a.Message = string(f.buf)
	for _, field := range rf.output.Fields() {
		a.add(field.Name, field.AppendJSON(nil, e))
	}
	a.add(f.timeKey, strconv.AppendUint(nil, e.Time(), 10))
	for _, x := range rf.extra {
		a.add(x.key, x.json(e))
	}
	return a
}

func (x *extraFormat) json(e *host.Event) []byte {
	if x.value != nil {
		return x.value.AppendJSON(nil, e)
	}
	text, _ := x.format.AppendText(nil, e)
	return field.AppendJSONString(nil, string(text))
}

// add adds a field unless one of that name is there.
func (a *Alert) add(key string, json []byte) {
	if a.Value(key) == nil {
		a.Fields = append(a.Fields, Field{key, json})
	}
}
