package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// everyCall is the interest in all system calls and how long they take, and
// what else the probe tells anyway.
func everyCall() event.Interest {
	i := event.Interest{Latency: true}
	for _, s := range event.Syscalls() {
		if len(s.Events) > 0 {
			i.Syscalls.Add(s.Code)
		}
	}
	return i
}

// runPrinter runs a view without a person who steers it: a live one prints at
// each refresh, one of a capture at the end.
func runPrinter(ctx context.Context, stdout, stderr io.Writer, o *viewOptions, condition string, count uint64, p printer) error {
	v, err := o.find()
	if err != nil {
		return err
	}
	feed, err := newFeed(v, o, condition, 0, false)
	if err != nil {
		return err
	}
	src, err := o.Open(feed.interest())
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	st, err := stream.New(src, o.Live())
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(stdout, 64<<10)
	p.begin(w)
	err = feed.run(ctx, st, w, p, count)
	if err == nil || ctx.Err() != nil {
		feed.finish(w, p, st)
	}
	p.end(w)
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	stream.ReportLoss(stderr, src.Stats())
	return stream.End(err, &o.Options)
}

// feed is a view or pseudo view that takes the events of a stream.
type feed struct {
	o         *viewOptions
	condition string
	table     *view.Table // nil for a pseudo view
	sampler   *view.ProcSampler
	prog      *filter.Program // of a pseudo view's condition
	cond      filter.CondID
	node      filter.Node
	echo      *view.Echo
	dig       *filter.Format
	next      time.Time // when a live table is printed
	started   time.Time
}

// newFeed compiles a view, or the pseudo view of o if v is nil. One that is
// steered keeps the newest rows of a list, and gets its samples elsewhere.
func newFeed(v *view.View, o *viewOptions, condition string, depth int, steered bool) (*feed, error) {
	f := &feed{o: o, condition: condition}
	var err error
	if v != nil {
		f.table, err = view.New(v, view.Options{
			Filter: condition, Depth: depth, Containers: o.containers, Style: o.style, Newest: steered && o.Live(),
		})
		if err != nil {
			return nil, conditionError(condition, err)
		}
		f.node = f.table.Condition()
		if o.Live() && !steered {
			f.sampler, err = view.NewProcSampler()
		}
		return f, err
	}
	if strings.TrimSpace(condition) != "" {
		f.prog = filter.NewProgram()
		if f.node, err = filter.Parse(condition); err == nil {
			f.cond, _, err = f.prog.Add(f.node)
		}
		if err != nil {
			return nil, conditionError(condition, fmt.Errorf("%w: %w", view.ErrCondition, err))
		}
	}
	if o.view == view.EchoView {
		f.echo, err = view.NewEcho(o.style)
		return f, err
	}
	format := view.DigFormat
	if o.containers {
		format = view.DigContainerFormat
	}
	if f.dig, err = filter.ParseFormat(format); err == nil {
		f.dig.SetStyle(o.style)
	}
	return f, err
}

// interest returns what the view needs of the kernel.
func (f *feed) interest() event.Interest {
	i := everyCall()
	if f.node != nil {
		if sel := filter.Select(f.node); !sel.Types.Has(event.GENERIC_X) || len(sel.Names()) < event.Count()/2 {
			i = event.Interest{Syscalls: sel.Codes, Types: sel.Types}
		}
	}
	i.Latency = f.table != nil || f.node != nil && filter.UsesLatency(f.node) // many tables rank by it
	return i
}

func (f *feed) run(ctx context.Context, st *stream.Stream, w *bufio.Writer, p printer, count uint64) error {
	f.started = time.Now()
	f.next = f.started.Add(f.o.refresh)
	var buf []byte
	st.Idle = func() error {
		if now := time.Now(); f.table != nil && now.After(f.next) {
			f.next = now.Add(f.o.refresh)
			f.print(w, p, st, false)
		}
		return w.Flush()
	}
	seen := uint64(0)
	return st.Run(ctx, func(e *host.Event) error {
		if f.table != nil {
			f.table.Add(e)
		} else if buf = f.entry(buf[:0], e); len(buf) > 0 {
			p.entry(w, buf, f.echo != nil)
		}
		if seen++; count > 0 && seen >= count {
			return stream.ErrStop
		}
		return nil
	}, nil)
}

// entry appends what a pseudo view shows of an event, nothing if that is nothing.
func (f *feed) entry(b []byte, e *host.Event) []byte {
	if f.prog != nil && !f.prog.Eval(f.cond, e) {
		return b
	}
	if f.dig != nil {
		b, _ = f.dig.AppendText(b, e)
		return b
	}
	if l, ok := f.echo.Line(e); ok {
		b = l.AppendJSON(b)
	}
	return b
}

// print prints the table as it is and starts the next sample.
func (f *feed) print(w *bufio.Writer, p printer, st *stream.Stream, last bool) {
	seconds := 0.0
	now := time.Now()
	if f.o.Live() {
		seconds = now.Sub(f.started).Seconds()
		f.sampler.Begin()
		f.table.AddThreads(st.State, uint64(now.UnixNano()), f.sampler)
	} else {
		f.table.AddThreads(st.State, 0, nil)
	}
	r := f.table.Result(seconds)
	if r.View.Kind == view.KindTable {
		r.Sort(r.DefaultSort(), r.Descending(r.DefaultSort()))
	} else if r.View.Kind == view.KindSpectrogram {
		r.Sort(0, false)
	}
	p.result(w, r, f.condition, f.o, last)
	f.table.Reset()
	f.started = now
}

func (f *feed) finish(w *bufio.Writer, p printer, st *stream.Stream) {
	if f.table != nil {
		f.print(w, p, st, true)
	}
}

// slicePrinter prints JSON as csysdig does: a slice for each sample of a
// table, a single one for echo and dig.
type slicePrinter struct {
	rows    view.Range
	tables  int
	entries int
}

func (p *slicePrinter) begin(w *bufio.Writer) { w.WriteString("{\"slices\": [\n") }

func (p *slicePrinter) result(w *bufio.Writer, r *view.Result, condition string, o *viewOptions, last bool) {
	if p.tables == 0 {
		w.WriteString("{\"progress\": 0},\n")
	}
	p.tables++
	w.Write(r.AppendJSON(nil, condition, o.containers, p.rows))
	if !last {
		w.WriteString(",")
	}
	w.WriteString("\n")
}

const sliceOfEntries = "{\"progress\": 100.00, \"data\": ["

func (p *slicePrinter) entry(w *bufio.Writer, text []byte, isJSON bool) {
	if p.entries == 0 {
		w.WriteString(sliceOfEntries)
	} else {
		w.WriteString(",")
	}
	p.entries++
	if !isJSON {
		text = field.AppendJSONString(nil, string(text))
	}
	w.Write(text)
}

func (p *slicePrinter) end(w *bufio.Writer) {
	if p.tables == 0 {
		if p.entries == 0 {
			w.WriteString(sliceOfEntries)
		}
		fmt.Fprintf(w, "],\n\"count\": %d}\n", p.entries)
	}
	w.WriteString("]}\n")
}

// rawPrinter prints plain tables as csysdig does.
type rawPrinter struct{ buf []byte }

func (*rawPrinter) begin(*bufio.Writer) {}
func (*rawPrinter) end(*bufio.Writer)   {}

func (p *rawPrinter) result(w *bufio.Writer, r *view.Result, _ string, _ *viewOptions, _ bool) {
	const width = 10 // of a number
	for i := range r.Rows {
		for j := range r.Columns {
			b := r.AppendCell(p.buf[:0], j, &r.Rows[i].Cells[j])
			if r.Numeric(j) {
				for range width - len(b) {
					w.WriteByte(' ')
				}
			}
			w.Write(b)
			w.WriteByte(' ')
			p.buf = b
		}
		w.WriteByte('\n')
	}
	w.WriteString(strings.Repeat("-", 22) + "\n")
}

func (p *rawPrinter) entry(w *bufio.Writer, text []byte, _ bool) {
	w.Write(text)
	w.WriteByte('\n')
}
