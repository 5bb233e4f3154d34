package sysdig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/chisel"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// tool is a chisel at work on a file.
type tool struct {
	run   *chisel.Run
	name  string
	prog  *filter.Program
	cond  filter.CondID
	node  filter.Node // of its condition, nil for none
	first uint64      // time of the first event
	last  uint64      // time of the last event
	tick  uint64      // number of the interval of the last event
	told  uint64      // time of the last tick
	done  bool        // it wants no more
}

// newTools sets up the chisels for a capture.
func (s *session) newTools(path string) ([]*tool, error) {
	env := &chisel.Env{
		Out: s.out, Live: path == "", Terminal: s.width > 0, Width: s.width, Colors: s.colors,
		Containers: s.opts.preset != "", JSON: s.opts.json, Filtered: s.opts.filter != "", Style: s.opts.style(),
		Save: func(to, condition string) error { return save(path, to, condition) },
	}
	var tools []*tool
	for _, r := range s.opts.chisels {
		t, err := newTool(env, r)
		if err != nil {
			return nil, err
		}
		tools = append(tools, t)
	}
	return tools, nil
}

func newTool(env *chisel.Env, r request) (*tool, error) {
	run, err := r.chisel.New(env, r.args)
	if err != nil {
		return nil, err
	}
	t := &tool{run: run, name: r.chisel.Name, prog: filter.NewProgram()}
	if run.Condition != "" {
		if t.node, err = filter.Parse(run.Condition); err == nil {
			t.cond, _, err = t.prog.Add(t.node)
		}
		if err != nil {
			return nil, fmt.Errorf("chisel %s: %s", t.name, filter.Explain(run.Condition, err))
		}
	}
	return t, nil
}

func (t *tool) begin() error {
	if t.run.Begin == nil {
		return nil
	}
	return t.run.Begin()
}

// tell hands an event to the chisels. It ends the stream when none wants more.
func (s *session) tell(he *host.Event) error {
	open := false
	for _, t := range s.tools {
		if t.done {
			continue
		}
		if err := t.event(he); err != nil {
			return err
		}
		open = open || !t.done
	}
	if !open {
		return stream.ErrStop
	}
	if s.opts.unbuffered {
		return s.out.Flush()
	}
	return nil
}

func (t *tool) event(he *host.Event) error {
	if err := t.pass(he.Time()); err != nil {
		return err
	}
	t.last = he.Time()
	if t.node != nil && !t.prog.Eval(t.cond, he) {
		return nil
	}
	err := t.run.Event(he)
	if errors.Is(err, chisel.ErrEnd) {
		t.done, err = true, nil
	}
	return err
}

// pass tells the chisel of the time: it ticks with the first event of each interval but the first.
func (t *tool) pass(now uint64) error {
	if t.first == 0 {
		t.first, t.told = now, now
	}
	if t.run.Every == 0 || t.run.Tick == nil || t.done {
		return nil
	}
	interval := now / uint64(t.run.Every)
	if t.tick == 0 {
		t.tick = interval
	}
	if interval <= t.tick {
		return nil
	}
	t.tick = interval
	m := chisel.Moment{Time: now, Span: time.Duration(now - min(t.told, now))}
	t.told = now
	return t.run.Tick(m)
}

func (t *tool) end(state *host.State) error {
	if t.run.End == nil {
		return nil
	}
	if err := t.run.End(chisel.Moment{Time: t.last, Span: time.Duration(t.last - min(t.told, t.last))}, state); err != nil {
		return fmt.Errorf("chisel %s: %w", t.name, err)
	}
	return nil
}

// save writes the events of a capture for which a condition holds into
// another, with what builds the state.
func save(from, to, condition string) error {
	node, err := filter.Parse(condition)
	if err != nil {
		return err
	}
	prog := filter.NewProgram()
	cond, _, err := prog.Add(node)
	if err != nil {
		return err
	}
	so := stream.Options{Read: from}
	src, err := so.Open(event.Interest{})
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	st, err := stream.New(src, false)
	if err != nil {
		return err
	}
	err = st.Record(context.Background(), to, stream.Recording{
		Match: func(he *host.Event) (bool, error) { return prog.Eval(cond, he), nil }, KeepState: true,
	})
	return stream.End(err, &so)
}
