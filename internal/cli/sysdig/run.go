package sysdig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// session is a run of the command.
type session struct {
	opts   *options
	out    *bufio.Writer
	stderr io.Writer
	width  int // of the terminal, 0 for none
	colors bool

	prog    *filter.Program
	cond    filter.CondID
	node    filter.Node // of the filter, nil for none
	printer *printer
	hidden  map[string]bool
	summary *summary

	src      event.Source
	state    *host.State
	tools    []*tool
	seen     uint64 // events of the file
	hid      uint64 // events of commands that are left out
	first    uint64 // time of the first event of the file
	shown    uint64 // time of the last event that was printed
	total    uint64
	progress *progress
}

// watch shows, counts or records events.
func watch(ctx context.Context, stdout, stderr io.Writer, opts *options) error {
	s, err := newSession(stdout, stderr, opts)
	if err != nil {
		return err
	}
	start := time.Now()
	reads := opts.reads
	if len(reads) == 0 {
		reads = []string{""}
	}
	for _, path := range reads {
		err = s.file(ctx, path)
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	if opts.summary {
		err = errors.Join(err, s.summary.print(s.out))
	}
	err = errors.Join(err, s.out.Flush())
	if opts.verbose && s.src != nil {
		s.report(time.Since(start))
	} else if s.src != nil {
		stream.ReportLoss(stderr, s.src.Stats())
	}
	return err
}

func newSession(stdout, stderr io.Writer, opts *options) (*session, error) {
	s := &session{
		opts: opts, out: bufio.NewWriterSize(stdout, 64<<10), stderr: stderr, width: terminalWidth(stdout),
		prog: filter.NewProgram(), hidden: map[string]bool{},
	}
	s.colors = opts.color == "force" || opts.color == "true" && s.width > 0
	for _, name := range opts.hidden {
		s.hidden[name] = true
	}
	if opts.filter != "" {
		node, err := filter.Parse(opts.filter)
		if err == nil {
			s.cond, _, err = s.prog.Add(node)
		}
		if err != nil {
			return nil, fmt.Errorf("%s", filter.Explain(opts.filter, err))
		}
		s.node = node
	}
	var err error
	if s.printer, err = newPrinter(opts, s.colors); err != nil {
		return nil, err
	}
	if opts.summary {
		if s.summary, err = newSummary(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// file runs over a capture, or over the live host if path is empty.
func (s *session) file(ctx context.Context, path string) error {
	so := stream.Options{Read: path, Snaplen: s.opts.snaplen, Runtimes: append([]string{stream.Auto}, s.opts.runtimes...)}
	var err error
	if s.tools, err = s.newTools(path); err != nil {
		return err
	}
	for _, t := range s.tools {
		so.Snaplen = max(so.Snaplen, t.run.Snaplen)
	}
	src, err := so.Open(s.wanted())
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	if s.opts.noUsers {
		src = withoutUsers{src}
	}
	s.src = src
	s.seen, s.first, s.shown = 0, 0, 0
	st, err := stream.New(src, so.Live())
	if err != nil {
		return err
	}
	s.state = st.State
	if s.opts.progress {
		s.progress = newProgress(s.stderr, path, src)
	}
	if s.opts.write != "" {
		err = s.record(ctx, st)
	} else {
		err = s.show(ctx, st)
	}
	s.progress.end()
	return stream.End(err, &so)
}

// timed reports whether anything looks at how long calls take.
func (s *session) timed() bool {
	return s.opts.time == field.TimeLatency || s.printer.format.UsesLatency() || s.node != nil && filter.UsesLatency(s.node) ||
		slices.ContainsFunc(s.tools, func(t *tool) bool { return t.run.Latency })
}

// wanted returns what a live source is asked for.
func (s *session) wanted() event.Interest {
	i := s.wantedEvents()
	i.Latency = s.timed()
	return i
}

func (s *session) wantedEvents() event.Interest {
	var all event.Interest
	for _, c := range event.Syscalls() {
		if len(c.Events) > 0 {
			all.Syscalls.Add(c.Code)
		}
	}
	if s.opts.pageFaults {
		all.Types.Add(event.PAGE_FAULT_E)
	}
	if s.opts.display || s.opts.summary && s.node == nil {
		return all
	}
	var nodes []filter.Node
	if len(s.tools) == 0 || s.opts.write != "" {
		nodes = append(nodes, s.node)
	}
	for _, t := range s.tools {
		nodes = append(nodes, both(s.node, t.node))
	}
	var some event.Interest
	for _, n := range nodes {
		if n == nil {
			return all
		}
		sel := filter.Select(n)
		if sel.Types.Has(event.GENERIC_X) && len(sel.Names()) >= event.Count()/2 {
			return all
		}
		some.Union(&event.Interest{Syscalls: sel.Codes, Types: sel.Types})
	}
	return some
}

// both returns the condition that both must hold; nil stands for none.
func both(a, b filter.Node) filter.Node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &filter.And{Children: []filter.Node{a, b}}
}

// take reports whether an event is to be looked at, after it was counted.
// stop is set when it is one too many.
func (s *session) take(he *host.Event) (ok, stop bool) {
	if len(s.hidden) > 0 && he.Thread != nil && s.hidden[he.Thread.Comm] {
		s.hid++
		return false, false
	}
	if s.node != nil && !s.opts.display && !s.prog.Eval(s.cond, he) {
		return false, false
	}
	if s.first == 0 {
		s.first = he.Time()
	}
	if s.opts.duration > 0 && he.Time() >= s.first+s.opts.duration {
		return false, true
	}
	s.seen++
	s.total++
	if s.summary != nil {
		s.summary.count(he)
	}
	return true, false
}

// full reports whether as many events were seen as were asked for.
func (s *session) full() bool { return s.opts.count > 0 && s.seen >= s.opts.count }

// show prints the events, or hands them to the chisels.
func (s *session) show(ctx context.Context, st *stream.Stream) error {
	st.Idle = s.idle
	for _, t := range s.tools {
		if err := t.begin(); err != nil {
			return err
		}
	}
	err := st.Run(ctx, func(he *host.Event) error {
		s.progress.step()
		ok, stop := s.take(he)
		switch {
		case stop:
			return stream.ErrStop
		case !ok:
			return nil
		}
		if err := s.handle(he); err != nil {
			return err
		}
		if s.full() {
			return stream.ErrStop
		}
		return nil
	}, nil)
	for _, t := range s.tools {
		err = errors.Join(err, t.end(s.state))
	}
	return err
}

func (s *session) handle(he *host.Event) error {
	if len(s.tools) > 0 {
		return s.tell(he)
	}
	if s.opts.quiet || internal(he) && !s.opts.debug || s.opts.display && s.node != nil && !s.prog.Eval(s.cond, he) {
		return nil
	}
	he.Prev = s.shown // times are measured from what is shown
	line := s.printer.text(he)
	if line == nil {
		return nil
	}
	s.shown = he.Time()
	if _, err := s.out.Write(line); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	if s.opts.unbuffered {
		return s.out.Flush()
	}
	return nil
}

// internal reports whether an event is about the host's state, and of interest
// to programs rather than to people.
func internal(he *host.Event) bool { return he.Info().Category == event.CategoryInternal }

// idle does what is due by time on a live host.
func (s *session) idle() error {
	now := uint64(time.Now().UnixNano())
	for _, t := range s.tools {
		if err := t.pass(now); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

// record writes the events into a file.
func (s *session) record(ctx context.Context, st *stream.Stream) error {
	rec := stream.Recording{
		File: s.opts.file, KeepState: s.opts.fat,
		Match: func(he *host.Event) (bool, error) {
			s.progress.step()
			ok, stop := s.take(he)
			if stop {
				return false, stream.ErrStop
			}
			return ok, nil
		},
		Wrote: func() error {
			if s.full() {
				return stream.ErrStop
			}
			return nil
		},
	}
	if s.opts.filterProcesses && s.node != nil {
		only, err := newProcessFilter(s.opts.filter)
		if err != nil {
			return err
		}
		rec.State = only.snapshot
	}
	return st.Record(ctx, s.opts.write, rec)
}

// report prints the counters of -v.
func (s *session) report(elapsed time.Duration) {
	stats := s.src.Stats()
	rate := 0.0
	if sec := elapsed.Seconds(); sec > 0 {
		rate = float64(s.total) / sec
	}
	fmt.Fprintf(s.stderr, "Driver Events:%d\nDriver Drops:%d\nSuppressed by Comm:%d\nElapsed time: %.3f, Captured Events: %d, %.2f eps\n",
		stats.Events, stats.Dropped, s.hid, elapsed.Seconds(), s.total, rate)
}

// withoutUsers is a source that tells no names of users and groups.
type withoutUsers struct{ event.Source }

func (w withoutUsers) Snapshot() *event.Snapshot {
	snap := *w.Source.Snapshot()
	snap.Users, snap.Groups = nil, nil
	return &snap
}
