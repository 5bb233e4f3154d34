package ruletest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Run runs the tests of files, as rule.ReadFiles gives them, against a
// ruleset. Paths of captures are relative to the folder of their file.
func Run(files []rule.File, set *rule.Ruleset) *Report {
	r := &runner{set: set, engines: map[string]*rule.Engine{}}
	report := &Report{}
	for _, f := range files {
		if f.Err != nil {
			report.Errors = append(report.Errors, &Error{File: f.Name, Message: f.Err.Error()})
			continue
		}
		parsed, errs := Parse(f.Name, f.Data)
		report.Errors = append(report.Errors, errs...)
		for _, t := range parsed.Tests {
			if !slices.ContainsFunc(errs, t.holds) {
				report.Results = append(report.Results, r.test(parsed, t))
			}
		}
	}
	return report
}

// holds reports whether a mistake stands in the test, so that it cannot run.
func (t *Test) holds(e *Error) bool {
	return e.Line >= t.Line && e.Line <= lastLine(t)
}

type runner struct {
	set     *rule.Ruleset
	engines map[string]*rule.Engine // by the rules they run
	num     uint64
}

// engine returns an engine that runs the rules with those names and patterns,
// or all enabled ones, and the patterns that fit no rule.
func (r *runner) engine(patterns []string) (e *rule.Engine, missing []string, err error) {
	opts := rule.EngineOptions{Threshold: rule.Debug, Matching: rule.MatchAll}
	if len(patterns) > 0 {
		opts.Selections = []rule.Selection{{Rule: "*"}}
	}
	for _, p := range patterns {
		opts.Selections = append(opts.Selections, rule.Selection{Enable: true, Rule: p})
		if len(r.set.Find(p)) == 0 {
			missing = append(missing, p)
		}
	}
	key := strings.Join(patterns, "\n")
	if e = r.engines[key]; e == nil {
		if e, err = rule.NewEngine(r.set, opts); err == nil {
			r.engines[key] = e
		}
	}
	return e, missing, err
}

// trial is a test that is running.
type trial struct {
	*Result
	test   *Test
	set    *rule.Ruleset
	engine *rule.Engine
	rules  map[string]*observed // the rules that the test names
	fired  []*firing
}

// observed is what a test wants to know of a rule.
type observed struct {
	match  *rule.Match
	fields []string // whose texts are expected
	format []*filter.Format
	why    *explainer
}

// firing is an alert that came.
type firing struct {
	rule    *rule.Match
	where   string
	message string
	fields  map[string]string
	used    bool
}

func (r *runner) test(f *File, t *Test) *Result {
	res := &Result{File: f.Name, Line: t.Line, Name: t.Name}
	engine, missing, err := r.engine(t.Rules)
	if err != nil {
		res.fail(f.Name, t.node.Line, err.Error())
		return res
	}
	for _, m := range missing {
		res.fail(f.Name, t.node.Line, fmt.Sprintf("no rule is called %q%s", m, hint(m, ruleNames(r.set))))
	}
	tr := &trial{Result: res, test: t, set: r.set, engine: engine, rules: map[string]*observed{}}
	tr.observe()
	if t.Capture != "" {
		err = tr.replay(t.Capture, &r.num)
	} else {
		tr.play(&r.num)
	}
	if err != nil {
		res.fail(f.Name, t.node.Line, err.Error())
		return res
	}
	if len(res.Failures) == 0 {
		tr.compare()
	}
	return res
}

func ruleNames(set *rule.Ruleset) map[string]bool {
	names := map[string]bool{}
	for _, r := range set.Rules {
		names[r.Name] = true
	}
	return names
}

// observe prepares what the test wants to know of the rules that it names.
func (t *trial) observe() {
	for _, x := range t.test.Alerts {
		o := t.rules[x.Rule]
		if o == nil {
			o = &observed{match: t.running(x)}
			if o.match == nil {
				continue
			}
			o.why = newExplainer(t.set, o.match.Rule)
			t.rules[x.Rule] = o
		}
		for _, name := range sortedNames(x.Fields) {
			if slices.Contains(o.fields, name) {
				continue
			}
			format, err := t.set.ParseFormat("*%" + name)
			if err != nil || len(format.Fields()) != 1 || format.Fields()[0].Name != name {
				t.fail(t.File, x.node.Line, fmt.Sprintf("there is no field %s that can be printed", name))
				continue
			}
			o.fields, o.format = append(o.fields, name), append(o.format, format)
		}
	}
}

// running returns the rule of an expected alert, or nil after a failure.
func (t *trial) running(x *Expected) *rule.Match {
	for _, m := range t.engine.Rules() {
		if m.Name == x.Rule {
			return m
		}
	}
	why := "is not among the rules that the test names"
	switch r := t.set.Lookup(x.Rule); {
	case r == nil:
		why = "is not there" + hint(x.Rule, ruleNames(t.set))
	case !r.Enabled && len(t.test.Rules) == 0:
		why = "is not enabled: name it under rules to test it anyway"
	}
	t.fail(t.File, x.node.Line, fmt.Sprintf("rule %q %s", x.Rule, why))
	return nil
}

// play makes the events of the test happen.
func (t *trial) play(num *uint64) {
	for _, e := range t.test.play(t.File, num, t.judge) {
		t.Failures = append(t.Failures, &Failure{Error: *e})
	}
}

// replay reads the events of a capture.
func (t *trial) replay(path string, num *uint64) error {
	return replay(beside(t.File, path), num, t.judge)
}

// Visit is called with an event and where it comes from, for people. The
// event is valid until Visit returns.
type Visit func(where string, he *host.Event)

// Replay makes what the test says happen, without judging it.
func (t *Test) Replay(file *File, visit Visit) error {
	num := uint64(0)
	if t.Capture != "" {
		return replay(beside(file.Name, t.Capture), &num, visit)
	}
	var errs []error
	for _, e := range t.play(file.Name, &num, visit) {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// play makes the events of the test happen and returns the mistakes in them.
func (t *Test) play(file string, num *uint64, visit Visit) []*Error {
	w := &world{parser: parser{file: file}, state: host.New(host.Options{}), now: startTime, num: num}
	w.state.Load(t.host.snapshot(&w.parser))
	for _, s := range t.events {
		if he := w.happen(s); he != nil {
			visit(s.String(), he)
		}
	}
	// Parameters are read in no order.
	slices.SortStableFunc(w.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return w.errs
}

// beside returns a path as seen from the folder of a file.
func beside(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// replay reads the events of a capture and numbers them on.
func replay(path string, num *uint64, visit Visit) error {
	src, err := capture.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	state := host.New(host.Options{})
	state.Load(src.Snapshot())
	var ev event.Event
	var he host.Event
	for {
		switch err := src.Next(&ev); {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, event.ErrSection):
			state.Load(src.Snapshot())
			continue
		case errors.Is(err, event.ErrIdle):
			continue
		case err != nil:
			return fmt.Errorf("capture: %w", err)
		}
		state.Apply(&ev, &he)
		if !ev.Hidden {
			inFile := ev.Num
			*num++
			ev.Num = *num // no two events of a run are taken for one
			visit(fmt.Sprintf("event %d (%s)", inFile, ev.Info().Name), &he)
		}
	}
}

// judge notes which rules match an event and how near others came.
func (t *trial) judge(where string, he *host.Event) {
	for _, m := range t.engine.Process(he) {
		f := &firing{rule: m, where: where, fields: map[string]string{}}
		if format, err := t.set.ParseFormat("*" + strings.TrimPrefix(m.Output, "*")); err == nil {
			text, _ := format.AppendText(nil, he)
			f.message = string(text)
		}
		if o := t.rules[m.Name]; o != nil {
			for i, name := range o.fields {
				text, _ := o.format[i].AppendText(nil, he)
				f.fields[name] = string(text)
			}
		}
		t.fired = append(t.fired, f)
	}
	for _, o := range t.rules {
		o.why.look(where, he)
	}
}
