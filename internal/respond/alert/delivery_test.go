package alert

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is an output under the control of a test.
type fake struct {
	mu       sync.Mutex
	got      []string
	reopened int
	closed   int
	err      error
	entered  chan struct{} // gets a value when Send begins, if not nil
	gate     chan struct{} // Send waits for a value from it, if not nil
	deaf     bool          // Send ignores its context
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Send(ctx context.Context, a *Alert) error {
	if f.entered != nil {
		f.entered <- struct{}{}
	}
	if f.gate != nil {
		done := ctx.Done()
		if f.deaf {
			done = nil
		}
		select {
		case <-f.gate:
		case <-done:
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.got = append(f.got, a.Rule)
	}
	return f.err
}

func (f *fake) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reopened++
	return nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func named(name string) *Alert { return &Alert{Rule: name} }

func TestDeliveryGivesEachOutputEveryAlertInOrder(t *testing.T) {
	a, b := &fake{}, &fake{}
	d := NewDelivery([]Output{a, b}, DeliveryOptions{Log: quiet()})
	for _, n := range []string{"1", "2", "3"} {
		d.Send(named(n))
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*fake{a, b} {
		if diff := cmp.Diff([]string{"1", "2", "3"}, f.got); diff != "" {
			t.Error(diff)
		}
		if f.closed != 1 {
			t.Errorf("closed %d times", f.closed)
		}
	}
}

func TestDeliveryDropsForASlowOutputAlone(t *testing.T) {
	slow, fast := &fake{gate: make(chan struct{}), entered: make(chan struct{})}, &fake{}
	d := NewDelivery([]Output{slow, fast}, DeliveryOptions{Capacity: 2, Log: quiet()})
	d.Send(named("1"))
	<-slow.entered // the first is at work, two more may wait
	for i, n := range []string{"2", "3", "4", "5"} {
		d.Send(named(n))
		for fast.count() < i+2 { // it keeps up, so that it loses nothing either
			time.Sleep(time.Millisecond)
		}
	}
	if got := d.Stats()[0]; got.Dropped != 2 || got.Waiting != 2 {
		t.Errorf("slow output: %+v", got)
	}
	close(slow.gate)
	go func() {
		for range slow.entered {
		}
	}()
	err := d.Close(t.Context())
	close(slow.entered)
	if err == nil || !strings.Contains(err.Error(), "output fake: 2 alerts are lost") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, slow.got); diff != "" {
		t.Error(diff)
	}
	if got := d.Stats()[1]; got.Sent != 5 || got.Dropped != 0 {
		t.Errorf("fast output: %+v", got)
	}
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

func TestDeliveryCountsFailuresAndGoesOn(t *testing.T) {
	f := &fake{err: errors.New("broken")}
	var log syncBuffer
	d := NewDelivery([]Output{f}, DeliveryOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	d.Send(named("1"))
	for d.Stats()[0].Failed == 0 || log.String() == "" {
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	d.Send(named("2"))
	if err := d.Close(t.Context()); err == nil {
		t.Error("the lost alert is not told")
	}
	if got := d.Stats()[0]; got.Failed != 1 || got.Sent != 1 {
		t.Errorf("got %+v", got)
	}
	if s := log.String(); !strings.Contains(s, "output=fake failed=1 error=broken") {
		t.Errorf("log: %s", s)
	}
}

// syncBuffer is a buffer for many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestDeliveryReportsDropsThoughTheOutputHangs(t *testing.T) {
	f := &fake{gate: make(chan struct{}), entered: make(chan struct{}, 9)}
	var log syncBuffer
	d := NewDelivery([]Output{f}, DeliveryOptions{Capacity: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	d.Send(named("1"))
	<-f.entered
	d.Send(named("2"))
	d.Send(named("3"))
	for !strings.Contains(log.String(), "dropped=1") {
		time.Sleep(time.Millisecond)
	}
	close(f.gate)
	d.Close(t.Context())
}

func TestDeliveryCloseGivesUpWhenItsTimeIsOver(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		f := &fake{gate: make(chan struct{}), entered: make(chan struct{}, 9), deaf: deaf}
		d := NewDelivery([]Output{f}, DeliveryOptions{Log: quiet()})
		d.Send(named("1"))
		d.Send(named("2"))
		<-f.entered
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := d.Close(ctx)
		want := "output fake: 2 alerts are lost"
		if deaf {
			want = "output fake does not answer, 2 alerts are lost"
		}
		if err == nil || err.Error() != want {
			t.Errorf("deaf %v: got %v, want %s", deaf, err, want)
		}
		close(f.gate)
	}
}

func TestDeliveryReopensOutputs(t *testing.T) {
	f := &fake{}
	d := NewDelivery([]Output{f}, DeliveryOptions{Log: quiet()})
	d.Reopen()
	for {
		f.mu.Lock()
		n := f.reopened
		f.mu.Unlock()
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDeliveryAfterCloseDrops(t *testing.T) {
	d := NewDelivery([]Output{&fake{}}, DeliveryOptions{Log: quiet()})
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Send(named("late"))
	if got := d.Stats()[0].Dropped; got != 1 {
		t.Errorf("dropped %d", got)
	}
	if err := d.Close(t.Context()); err == nil {
		t.Error("the late alert is not told")
	}
}

func BenchmarkDeliverySend(b *testing.B) {
	stuck := &fake{gate: make(chan struct{})}
	d := NewDelivery([]Output{stuck}, DeliveryOptions{Capacity: 1, Log: quiet()})
	a := sample()
	b.ReportAllocs()
	for b.Loop() {
		d.Send(a)
	}
	close(stuck.gate)
	d.Close(context.Background())
}

func TestDeliveryEndsThoughSomebodyWaitsForADeadOutput(t *testing.T) {
	dead := &fake{gate: make(chan struct{}), entered: make(chan struct{})}
	d := NewDelivery([]Output{dead}, DeliveryOptions{Capacity: 1, Wait: true, Log: quiet()})
	d.Send(named("1"))
	<-dead.entered // the first is at work
	d.Send(named("2"))
	sent := make(chan struct{})
	go func() {
		d.Send(named("3")) // there is no room for it
		close(sent)
	}()
	for d.mu.TryLock() { // until it holds the lock
		d.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Close(ctx); err == nil {
		t.Error("nothing is lost")
	}
	<-sent
	if got := d.Stats()[0]; got.Failed != 1 || got.Dropped != 2 {
		t.Errorf("%+v", got)
	}
}
