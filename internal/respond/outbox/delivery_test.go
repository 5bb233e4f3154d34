package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/respond/alert"
)

// fake is an output that the test controls.
type fake struct {
	name    string
	most    int // takes batches if > 0
	mu      sync.Mutex
	err     error
	refuses string // the rule of an alert that it does not take
	got     []string
	batches []int
	reopens int
	hang    bool
}

func (f *fake) Name() string { return f.name }

func (f *fake) Send(ctx context.Context, a *alert.Alert) error { return f.take(ctx, a) }

func (f *fake) take(ctx context.Context, alerts ...*alert.Alert) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hang {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return ctx.Err()
	}
	if f.err != nil {
		return f.err
	}
	for _, a := range alerts {
		if a.Rule == f.refuses {
			return fmt.Errorf("no: %w", alert.ErrRefused)
		}
	}
	for _, a := range alerts {
		f.got = append(f.got, a.Rule)
	}
	f.batches = append(f.batches, len(alerts))
	return nil
}

func (f *fake) set(err error, hang bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.hang = err, hang
}

func (f *fake) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reopens++
	return nil
}

func (f *fake) Close() error { return nil }

// batcher is a fake that takes several alerts at once.
type batcher struct{ fake }

func (f *batcher) Batch() (int, time.Duration) { return f.most, 5 * time.Millisecond }
func (f *batcher) SendBatch(ctx context.Context, alerts []*alert.Alert) error {
	return f.take(ctx, alerts...)
}

func deliver(t *testing.T, b *Box, outputs ...alert.Output) *Delivery {
	t.Helper()
	d, err := NewDelivery(b, outputs, DeliveryOptions{
		FirstRetry: time.Millisecond, LastRetry: 4 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func finish(t *testing.T, d *Delivery) {
	t.Helper()
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// press ends a delivery at once.
func press(t *testing.T, d *Delivery) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func send(d *Delivery, from, to int) {
	for n := from; n <= to; n++ {
		d.Send(numbered(n))
	}
}

func wantGot(t *testing.T, f *fake, want []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(want, f.got); diff != "" {
		t.Errorf("%s: %s", f.name, diff)
	}
}

func TestDeliveryGivesEachOutputEveryAlertInOrder(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{SegmentBytes: 600})
	x, y := &fake{name: "x"}, &fake{name: "y"}
	d := deliver(t, b, x, y)
	send(d, 1, 100)
	finish(t, d)
	wantGot(t, x, words(1, 100))
	wantGot(t, y, words(1, 100))
	if len(b.segments) != 1 {
		t.Errorf("%d segments are left", len(b.segments))
	}
}

func TestDeadOutputDelaysNoOtherAndCatchesUpAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{SegmentBytes: 600})
	dead, live := &fake{name: "dead", err: errors.New("down")}, &fake{name: "live"}
	d := deliver(t, b, dead, live)
	send(d, 1, 50)
	for d.Stats()[1].Sent < 50 || d.Stats()[0].Retrying == nil {
		time.Sleep(time.Millisecond)
	}
	if s := d.Stats()[0]; s.Waiting != 50 || s.Sent != 0 {
		t.Errorf("%+v", s)
	}
	press(t, d)
	mustClose(t, b)

	b = mustOpen(t, dir, Options{SegmentBytes: 600})
	dead.set(nil, false)
	d = deliver(t, b, dead, live)
	send(d, 51, 60)
	finish(t, d)
	wantGot(t, dead, words(1, 60))
	wantGot(t, live, words(1, 60))
}

func TestOutputThatWasDownForAWhileMissesNothing(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{})
	f := &fake{name: "x"}
	d := deliver(t, b, f)
	for i, err := range []error{nil, errors.New("down"), nil, errors.New("down"), nil} {
		f.set(err, false)
		send(d, i*10+1, i*10+10)
		time.Sleep(3 * time.Millisecond) // some tries fail meanwhile
	}
	finish(t, d)
	wantGot(t, f, words(1, 50))
	if d.Stats()[0].Retrying != nil {
		t.Error("it still counts as down")
	}
}

func TestOutputThatHangsIsTriedAgain(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{})
	f := &fake{name: "x", hang: true}
	d, err := NewDelivery(b, []alert.Output{f}, DeliveryOptions{Timeout: 5 * time.Millisecond, FirstRetry: time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	send(d, 1, 2)
	for d.Stats()[0].Retrying == nil {
		time.Sleep(time.Millisecond)
	}
	f.set(nil, false)
	finish(t, d)
	wantGot(t, f, words(1, 2))
}

func TestAlertThatIsRefusedForGoodHoldsUpNoOther(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{})
	x, y := &fake{name: "x", refuses: "2"}, &batcher{fake{name: "y", refuses: "3", most: 10}}
	d := deliver(t, b, x, y)
	send(d, 1, 5)
	finish(t, d)
	wantGot(t, x, []string{"1", "3", "4", "5"})
	wantGot(t, &y.fake, []string{"1", "2", "4", "5"})
	if s := d.Stats(); s[0].Failed != 1 || s[1].Failed != 1 || s[0].Sent != 4 {
		t.Errorf("%+v", s)
	}
}

func TestOutputThatTakesBatchesGetsThem(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{})
	f := &batcher{fake{name: "x", most: 8, err: errors.New("down")}}
	d := deliver(t, b, f)
	send(d, 1, 20)
	for d.Stats()[0].Retrying == nil {
		time.Sleep(time.Millisecond)
	}
	f.set(nil, false)
	finish(t, d)
	wantGot(t, &f.fake, words(1, 20))
	if len(f.batches) > 10 || f.batches[len(f.batches)-2] != 8 {
		t.Errorf("batches of %v", f.batches)
	}
}

func TestDeliveryReopensOutputs(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{})
	f := &fake{name: "x"}
	d := deliver(t, b, f)
	d.Reopen()
	for n := 0; n == 0; {
		f.mu.Lock()
		n = f.reopens
		f.mu.Unlock()
	}
	finish(t, d)
}

func TestOutputsAreToldApartByTheirNames(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{})
	_, err := NewDelivery(b, []alert.Output{&fake{name: "x"}, &fake{name: "x"}}, DeliveryOptions{})
	if err == nil || !strings.Contains(err.Error(), `two outputs have the name "x"`) {
		t.Errorf("got %v", err)
	}
	if len(b.readers) > 0 {
		t.Error("the first is still attached")
	}
}

func TestWhatIsInMemoryOnlyIsDeliveredAndThenGone(t *testing.T) {
	dir := tinyDisk(t, 64<<10)
	b := mustOpen(t, dir, Options{SegmentBytes: 4096})
	f := &fake{name: "x"}
	d := deliver(t, b, f)
	fill(t, dir+"/ballast")
	send(d, 1, 100)
	finish(t, d)
	wantGot(t, f, words(1, 100))
	b.mu.Lock()
	left := len(b.memory)
	b.mu.Unlock()
	if left > 0 {
		t.Errorf("%d are left in memory", left)
	}
}

// gated takes batches once its gate is open, whatever its context says.
type gated struct {
	batcher
	entered, gate chan struct{}
}

func (g *gated) SendBatch(_ context.Context, alerts []*alert.Alert) error {
	close(g.entered)
	<-g.gate
	return g.take(context.Background(), alerts...)
}

// An output that ends later than a dead one, at the end or when outputs are replaced, must not make the
// box think that all have what it has.
func TestOutputThatEndsLastLeavesWhatADeadOneLacks(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{SegmentBytes: 600})
	dead := &fake{name: "dead", err: errors.New("down")}
	late := &gated{batcher{fake{name: "late", most: 40}}, make(chan struct{}), make(chan struct{})}
	attached := mustAttach(t, b, "late") // it is to have all 40 in one batch
	mustDetach(t, b, attached)
	mustDetach(t, b, mustAttach(t, b, "dead"))
	mustPut(t, b, 1, 40)
	d := deliver(t, b, dead, late)
	<-late.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go func() {
		<-d.lanes[0].ended
		time.Sleep(20 * time.Millisecond) // for what Close does then
		close(late.gate)
	}()
	if err := d.Close(ctx); err != nil {
		t.Fatal(err)
	}
	wantGot(t, &late.fake, words(1, 40))
	mustClose(t, b)

	b = mustOpen(t, dir, Options{SegmentBytes: 600})
	dead.set(nil, false)
	finish(t, deliver(t, b, dead, &late.fake))
	wantGot(t, dead, words(1, 40))
	wantGot(t, &late.fake, words(1, 40))
}

// named is an output that something happens to when it is asked for its name.
type named struct {
	fake
	asked func()
}

func (n *named) Name() string {
	if n.asked != nil {
		n.asked()
	}
	return n.fake.name
}

// Alerts come on while outputs are replaced.
func TestAlertsThatComeWhileOutputsBeginDeleteNothing(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{SegmentBytes: 600})
	mustDetach(t, b, mustAttach(t, b, "y"))
	mustPut(t, b, 1, 40)
	x, y := &fake{name: "x"}, &named{fake: fake{name: "y"}}
	y.asked = func() {
		y.asked = nil
		mustPut(t, b, 41, 80) // x is attached, y is not
	}
	finish(t, deliver(t, b, x, y))
	wantGot(t, x, words(41, 80))
	wantGot(t, &y.fake, words(1, 80))
	if len(b.segments) != 1 {
		t.Errorf("%d segments are left", len(b.segments))
	}
}

// Times of alerts that jump to and fro, as when the clock is set, change
// nothing: nothing here depends on a clock.
func TestClockThatJumpsChangesNothing(t *testing.T) {
	dir := t.TempDir()
	f := &fake{name: "x"}
	var want []string
	for run, year := range []int{2026, 1970, 2100, 1999} {
		b := mustOpen(t, dir, Options{SegmentBytes: 500})
		d := deliver(t, b, f)
		for n := range 10 {
			a := numbered(run*10 + n)
			a.Time = time.Date(year, 1, 1, n, 0, 0, 0, time.UTC)
			want = append(want, a.Rule)
			d.Send(a)
		}
		finish(t, d)
		mustClose(t, b)
	}
	wantGot(t, f, want)
}

func TestInletKeepsWhatIsSentUntilTheOutputIsBack(t *testing.T) {
	dir := t.TempDir()
	f := &fake{name: "x", err: errors.New("down")}
	send := func(from, to int) {
		b, err := Open(dir, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		in := NewInlet(b, deliver(t, b, f), 50*time.Millisecond)
		for n := from; n <= to; n++ {
			a := numbered(n)
			if err := in.Send(t.Context(), a); err != nil || a.ID != "" {
				t.Fatalf("%v, id %q", err, a.ID)
			}
		}
		for range 2 {
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Send(t.Context(), numbered(0)); !errors.Is(err, alert.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	send(1, 3)
	f.set(nil, false)
	send(4, 5)
	wantGot(t, f, words(1, 5))
}
