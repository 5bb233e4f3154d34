package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/cli/screen"
	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// mailbox hands what the view at hand finds to the screen. What was found for
// an earlier one is thrown away.
type mailbox struct {
	mu      sync.Mutex
	turn    int // of the view at hand
	updates chan screen.Update
}

func newMailbox() *mailbox { return &mailbox{updates: make(chan screen.Update, 1)} }

// next begins the turn of another view.
func (b *mailbox) next() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	select {
	case <-b.updates:
	default:
	}
	return b.turn
}

// put hands an update over: in place of one that was not taken, whose lines it gets.
func (b *mailbox) put(turn int, u screen.Update) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if turn != b.turn {
		return
	}
	select {
	case old := <-b.updates:
		u.Lines = append(old.Lines, u.Lines...)
		if extra := len(u.Lines) - maxWaiting; extra > 0 {
			u.Lines = u.Lines[extra:]
		}
		if u.Result == nil {
			u.Result = old.Result
		}
		u.Samples = append(old.Samples, u.Samples...)
		if extra := len(u.Samples) - maxWaiting; extra > 0 {
			u.Samples = u.Samples[extra:]
		}
	default:
	}
	b.updates <- u
}

// maxWaiting is how many lines wait for the screen at most.
const maxWaiting = 20_000

// shower is the view at hand of a feed and what it found that was not handed over.
type shower struct {
	*feed
	turn    int
	lines   []string
	samples []*view.Result // of a spectrogram
	cut     uint64         // time at which its next sample begins
}

func (s *shower) spectrogram() bool {
	return s.table != nil && s.table.View.Kind == view.KindSpectrogram
}

// sample cuts a spectrogram of a capture into samples of a second.
func (s *shower) sample(now uint64) {
	const second = uint64(time.Second)
	if !s.spectrogram() || now < s.cut {
		return
	}
	if s.cut != 0 && len(s.samples) < maxWaiting {
		s.samples = append(s.samples, s.table.Result(1))
		s.table.Reset()
	}
	s.cut = now - now%second + second
}

func newShower(o viewOptions, path view.Path, text string, containers bool) (*shower, error) {
	o.containers = containers
	v := path.View()
	if text != "" {
		o.view, v = text, nil
	}
	if text == view.EchoView {
		o.style = &field.Style{Buffer: field.BufferLinesInline}
	}
	f, err := newFeed(v, &o, path.Condition(), path.Depth(), true)
	if err != nil {
		return nil, err
	}
	return &shower{feed: f}, nil
}

// add counts an event or makes lines of it.
func (s *shower) add(e *host.Event, buf []byte) []byte {
	switch {
	case s.table != nil:
		s.table.Add(e)
	case s.prog != nil && !s.prog.Eval(s.cond, e):
	case s.dig != nil:
		buf, _ = s.dig.AppendText(buf[:0], e)
		s.keep(string(buf))
	default:
		if l, ok := s.echo.Line(e); ok {
			s.keep(echoHeading(&l))
			for text := range strings.SplitSeq(l.Data, "\n") {
				s.keep("    " + string(event.AppendPrintable(nil, text)))
			}
		}
	}
	return buf
}

func (s *shower) keep(line string) {
	if len(s.lines) >= maxWaiting {
		s.lines = append(s.lines[:0], s.lines[maxWaiting/2:]...)
	}
	s.lines = append(s.lines, line)
}

func echoHeading(l *view.Line) string {
	verb, prep := "writes", "to"
	if l.Read {
		verb, prep = "reads", "from"
	}
	where := ""
	if l.Container != "" && l.Container != "host" {
		where = " in " + l.Container
	}
	return fmt.Sprintf("%s %s%s %s %d bytes %s %s", time.Unix(0, int64(l.Time)).Format("15:04:05.000000"), l.Process, where, verb, l.Length, prep, l.Name)
}

// take returns what was found, for the screen.
func (s *shower) take(state screen.State, seconds float64) screen.Update {
	u := screen.Update{State: state, Lines: s.lines, Samples: s.samples}
	s.lines, s.samples = nil, nil
	switch {
	case s.table == nil:
	case s.spectrogram():
		u.Samples = append(u.Samples, s.table.Result(seconds))
	default:
		u.Result = s.table.Result(seconds)
	}
	return u
}

// liveFeed is the running host. One goroutine reads the events, whatever is shown.
type liveFeed struct {
	o       viewOptions
	box     *mailbox
	src     event.Source
	cancel  context.CancelFunc
	pending atomic.Pointer[shower]
	ended   chan struct{}
}

func newLiveFeed(ctx context.Context, o viewOptions) (*liveFeed, error) {
	src, err := o.Open(everyCall())
	if err != nil {
		return nil, err
	}
	f := &liveFeed{o: o, box: newMailbox(), src: src, ended: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(ctx)
	st, err := stream.New(src, true)
	if err != nil {
		return nil, err
	}
	sampler, err := view.NewProcSampler()
	if err != nil {
		return nil, err
	}
	go f.run(ctx, st, sampler)
	return f, nil
}

func (f *liveFeed) Show(path view.Path, text string, containers bool) error {
	s, err := newShower(f.o, path, text, containers)
	if err != nil {
		return err
	}
	s.turn = f.box.next()
	f.pending.Store(s)
	return nil
}

func (f *liveFeed) Updates() <-chan screen.Update { return f.box.updates }

func (f *liveFeed) Close() error {
	f.cancel()
	<-f.ended
	return f.src.Close()
}

// run reads events until the end. The view is changed and handed over when
// there is nothing to do for a moment, at least every 100 ms.
func (f *liveFeed) run(ctx context.Context, st *stream.Stream, sampler *view.ProcSampler) {
	defer close(f.ended)
	defer sampler.Close()
	var (
		now   *shower
		buf   []byte
		begun time.Time
		due   time.Time
	)
	st.Idle = func() error {
		if s := f.pending.Swap(nil); s != nil {
			now, begun, due = s, time.Now(), time.Now()
		}
		if now == nil || time.Now().Before(due) {
			return nil
		}
		t := time.Now()
		if now.table != nil {
			sampler.Begin()
			now.table.AddThreads(st.State, uint64(t.UnixNano()), sampler)
		}
		stats := f.src.Stats()
		f.box.put(now.turn, now.take(screen.State{Live: true, Events: stats.Events, Dropped: stats.Dropped}, t.Sub(begun).Seconds()))
		if now.table != nil {
			now.table.Reset()
		}
		begun, due = t, t.Add(f.o.refresh)
		return nil
	}
	err := st.Run(ctx, func(e *host.Event) error {
		if now != nil {
			buf = now.add(e, buf)
		}
		return nil
	}, nil)
	if now != nil && ctx.Err() == nil {
		if err == nil {
			err = fmt.Errorf("no more events")
		}
		f.box.put(now.turn, screen.Update{State: screen.State{Live: true, Err: err}})
	}
}

// fileFeed is a capture, which is read again for each view.
type fileFeed struct {
	ctx    context.Context
	o      viewOptions
	box    *mailbox
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func newFileFeed(ctx context.Context, o viewOptions) *fileFeed {
	return &fileFeed{ctx: ctx, o: o, box: newMailbox(), cancel: func() {}}
}

func (f *fileFeed) Show(path view.Path, text string, containers bool) error {
	s, err := newShower(f.o, path, text, containers)
	if err != nil {
		return err
	}
	src, err := f.o.Open(event.Interest{})
	if err != nil {
		return err
	}
	f.cancel()
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(f.ctx)
	s.turn = f.box.next()
	f.ended.Go(func() { f.read(ctx, src, s) })
	return nil
}

func (f *fileFeed) Updates() <-chan screen.Update { return f.box.updates }

func (f *fileFeed) Close() error {
	f.cancel()
	f.ended.Wait()
	return nil
}

// partly is how often what was found so far is shown.
const partly = 500 * time.Millisecond

func (f *fileFeed) read(ctx context.Context, src event.Source, s *shower) {
	defer src.Close()
	st, err := stream.New(src, false)
	if err != nil {
		f.box.put(s.turn, screen.Update{State: screen.State{Err: err}})
		return
	}
	var (
		buf  []byte
		n    uint64
		next = time.Now().Add(partly)
	)
	err = st.Run(ctx, func(e *host.Event) error {
		s.sample(e.Time())
		buf = s.add(e, buf)
		if n++; n%4096 == 0 && !s.spectrogram() && time.Now().After(next) {
			f.box.put(s.turn, s.take(screen.State{Events: n}, 0))
			next = time.Now().Add(partly)
		}
		return nil
	}, nil)
	if s.table != nil {
		s.table.AddThreads(st.State, 0, nil)
	}
	f.box.put(s.turn, s.take(screen.State{Events: n, Done: true, Err: stream.End(err, &f.o.Options)}, 0))
}

// newScreenFeed returns the feed for the screen.
func newScreenFeed(ctx context.Context, o viewOptions) (screen.Feed, error) {
	if o.style == nil {
		o.style = &field.Style{Limit: 200}
	}
	if o.Live() {
		return newLiveFeed(ctx, o)
	}
	return newFileFeed(ctx, o), nil
}
