package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// openings is a source in which a process opens file after file. It has an
// event for each send on step, and for ever once step is closed; it ends when closed.
type openings struct {
	step   chan struct{}
	closed chan struct{}
	once   sync.Once
	n      uint64
	buf    []byte

	mu    sync.Mutex
	asked []event.Interest
	fail  error // of SetInterest
}

func newOpenings() *openings {
	return &openings{step: make(chan struct{}), closed: make(chan struct{})}
}

func (o *openings) Snapshot() *event.Snapshot {
	t := event.NewThreadInfo()
	t.TID, t.PID, t.Comm, t.Exe, t.ExePath, t.Cwd = 1, 1, "opener", "opener", "/bin/opener", "/"
	return &event.Snapshot{Threads: []*event.ThreadInfo{t}}
}
func (o *openings) Stats() event.Stats { return event.Stats{Events: atomic.LoadUint64(&o.n)} }
func (o *openings) Close() error       { o.once.Do(func() { close(o.closed) }); return nil }

func (o *openings) SetInterest(i event.Interest) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, i)
	return o.fail
}

func (o *openings) Next(ev *event.Event) error {
	select {
	case <-o.closed:
		return io.EOF
	case <-o.step:
	}
	n := atomic.AddUint64(&o.n, 1)
	var err error
	o.buf, err = event.Append(o.buf[:0], 1e18+n*1e6, 1, event.SYSCALL_OPENAT_2_X, 3, -100, fmt.Sprint("/file/", n), 1, 0, 0x801, 77)
	if err != nil {
		return err
	}
	ev.Num = n
	return ev.Reset(o.buf)
}

// collected is an output that keeps what it is sent.
type collected struct {
	mu     sync.Mutex
	alerts []*alert.Alert
}

func (c *collected) Name() string  { return "test" }
func (c *collected) Reopen() error { return nil }
func (c *collected) Close() error  { return nil }
func (c *collected) Send(_ context.Context, a *alert.Alert) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alerts = append(c.alerts, a)
	return nil
}

func (c *collected) all() []*alert.Alert {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*alert.Alert{}, c.alerts...)
}

// compiled returns rules that are ready: one with that name and condition.
func compiled(t testing.TB, name, condition string) *Rules {
	t.Helper()
	text := fmt.Sprintf("- rule: %s\n  desc: d\n  condition: %s\n  output: file %%fd.name\n  priority: WARNING\n", name, condition)
	return compiledText(t, text)
}

func compiledText(t testing.TB, text string) *Rules {
	t.Helper()
	set, results := rule.Load([]rule.File{{Name: "r.yaml", Data: []byte(text)}}, rule.LoadOptions{})
	if !results[0].OK() {
		t.Fatal(results[0].Summary(true))
	}
	e, err := rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRules(e, alert.FormatterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// running is an agent at work on openings.
type running struct {
	*Agent
	src  *openings
	out  *collected
	ran  chan error
	stop context.CancelFunc
}

func start(t *testing.T, rules *Rules, opts Options) *running {
	t.Helper()
	src := newOpenings()
	r := startOn(t, src, rules, opts)
	r.src = src
	return r
}

func startOn(t *testing.T, src event.Source, rules *Rules, opts Options) *running {
	t.Helper()
	r := &running{out: &collected{}, ran: make(chan error, 1)}
	d := alert.NewDelivery([]alert.Output{r.out}, alert.DeliveryOptions{Wait: true})
	a, err := New(src, rules, d, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Agent = a
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.ran <- a.Run(ctx) }()
	return r
}

// end ends the agent and returns the alerts.
func (r *running) end(t *testing.T) []*alert.Alert {
	t.Helper()
	r.stop()
	if err := <-r.ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := r.delivery.(*alert.Delivery).Close(t.Context()); err != nil {
		t.Error(err)
	}
	return r.out.all()
}

func TestEachEventIsJudgedByExactlyOneSetOfRules(t *testing.T) {
	r := start(t, compiled(t, "set 0", "evt.type = openat"), Options{})
	close(r.src.step)
	const rounds = 50
	for i := 1; i <= rounds; i++ {
		if err := r.Swap(t.Context(), compiled(t, fmt.Sprint("set ", i), "evt.type = openat")); err != nil {
			t.Fatal(err)
		}
	}
	alerts := r.end(t)
	last := 0
	for i, a := range alerts {
		var set int
		if _, err := fmt.Sscanf(a.Rule, "set %d", &set); err != nil || set < last {
			t.Fatalf("alert %d is of %q after set %d", i, a.Rule, last)
		}
		last = set
		if want := fmt.Sprintf("file /file/%d", i+1); a.Message != want {
			t.Fatalf("alert %d is %q, want %q", i, a.Message, want)
		}
	}
	s := r.Stats()
	if uint64(len(alerts)) != s.Source.Events || s.Alerts != s.Source.Events {
		t.Errorf("%d alerts, %d counted, for %d events", len(alerts), s.Alerts, s.Source.Events)
	}
	if len(s.Rules) != rounds+1 {
		t.Errorf("%d rules are counted, want all %d", len(s.Rules), rounds+1)
	}
}

func TestTheSourceIsAskedForWhatBothSetsWantWhileTheyAreSwapped(t *testing.T) {
	extra := event.Interest{}
	extra.AddSyscalls("getppid")
	r := start(t, compiled(t, "old", "evt.type = openat"), Options{Interest: extra})
	close(r.src.step)
	if err := r.Swap(t.Context(), compiled(t, "new", "evt.type = connect")); err != nil {
		t.Fatal(err)
	}
	r.end(t)
	has := func(i event.Interest, name string) bool { return i.Syscalls.Has(event.SyscallByName(name).Code) }
	if len(r.src.asked) != 2 {
		t.Fatalf("asked %d times", len(r.src.asked))
	}
	if i := r.src.asked[0]; !has(i, "openat") || !has(i, "connect") || !has(i, "getppid") {
		t.Error("at first not all of both")
	}
	if i := r.src.asked[1]; has(i, "openat") || !has(i, "connect") || !has(i, "getppid") {
		t.Error("then not what the new ones want")
	}
}

func TestRulesThatDoNotComeIntoPlaceLeaveTheOldOnes(t *testing.T) {
	t.Run("the source cannot be asked", func(t *testing.T) {
		r := start(t, compiled(t, "old", "evt.type = openat"), Options{})
		r.src.fail = errors.New("no")
		if err := r.Swap(t.Context(), compiled(t, "new", "evt.type = connect")); !errors.Is(err, r.src.fail) {
			t.Errorf("got %v", err)
		}
		r.src.step <- struct{}{}
		r.src.step <- struct{}{}
		if a := r.end(t); len(a) != 2 || a[1].Rule != "old" {
			t.Errorf("got %v", a)
		}
	})
	t.Run("the caller does not wait for an event", func(t *testing.T) {
		r := start(t, compiled(t, "old", "evt.type = openat"), Options{})
		r.src.step <- struct{}{}
		for len(r.out.all()) == 0 { // then it waits for the next event, and takes nothing before that
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Swap(ctx, compiled(t, "new", "evt.type = connect")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if i := r.src.asked[len(r.src.asked)-1]; i != r.Interest() {
			t.Error("the source is not asked for what the old ones want")
		}
		r.src.step <- struct{}{}
		if a := r.end(t); len(a) != 2 || a[1].Rule != "old" {
			t.Errorf("got %v", a)
		}
	})
	t.Run("the agent has ended", func(t *testing.T) {
		r := start(t, compiled(t, "old", "evt.type = openat"), Options{})
		r.end(t)
		if err := r.Swap(t.Context(), compiled(t, "new", "evt.type = connect")); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAMatchCanBeKeptFromBeingSent(t *testing.T) {
	var seen []string
	r := start(t, compiled(t, "r", "evt.type = openat"), Options{
		Matched: func(m *rule.Match, he *host.Event, a *alert.Alert) bool {
			seen = append(seen, m.Name+" "+a.Message)
			return len(seen) > 1
		},
	})
	r.src.step <- struct{}{}
	r.src.step <- struct{}{}
	if a := r.end(t); len(a) != 1 || len(seen) != 2 || seen[0] != "r file /file/1" {
		t.Errorf("%d alerts, seen %q", len(a), seen)
	}
	if s := r.Stats(); s.Rules[0].Matches != 2 || s.Alerts != 1 {
		t.Errorf("counted %d matches, %d alerts", s.Rules[0].Matches, s.Alerts)
	}
}
