package agent

import (
	"context"
	"errors"
	"fmt"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
)

// ErrEnded is returned by Swap when the agent ended before the rules were in place.
var ErrEnded = errors.New("the agent has ended")

// swap is a set of rules on its way into place.
type swap struct {
	rules *Rules
	done  chan struct{} // closed when they judge
}

// Swap puts rules in the place of those at work and returns once the next
// event will be judged by them, which on a live host is within a moment. If it
// fails the old ones go on; that the source could not be told to send less is
// no failure of the swap and logged.
func (a *Agent) Swap(ctx context.Context, r *Rules) error {
	a.swapMu.Lock()
	defer a.swapMu.Unlock()
	old := a.working.Load()
	both := a.wanted(old)
	want := a.wanted(r)
	both.Union(&want)
	if err := a.ask(both); err != nil {
		return fmt.Errorf("ask for the events of the new rules: %w", err)
	}
	a.counts.adopt(r)
	s := &swap{rules: r, done: make(chan struct{})}
	a.next.Store(s)
	if err := a.await(ctx, s); err != nil {
		return errors.Join(err, a.ask(a.wanted(old)))
	}
	if err := a.ask(want); err != nil {
		a.opts.Log.Warn("events that no rule wants any more are still read", "error", err)
	}
	return nil
}

// await waits until the rules are in place.
func (a *Agent) await(ctx context.Context, s *swap) error {
	var err error
	select {
	case <-s.done:
		return nil
	case <-a.ended:
		err = ErrEnded
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if !a.next.CompareAndSwap(s, nil) { // taken at the last moment
		<-s.done
		return nil
	}
	return err
}

// takeNext puts the rules that wait in place. Run's goroutine calls it.
func (a *Agent) takeNext() {
	if s := a.next.Swap(nil); s != nil {
		a.rules = s.rules
		a.working.Store(s.rules)
		close(s.done)
	}
}

// Running returns the rules that are at work.
func (a *Agent) Running() []*rule.Rule { return a.working.Load().Running() }

// Interest returns what is to be asked of a source for the rules at work.
func (a *Agent) Interest() event.Interest { return a.wanted(a.working.Load()) }

func (a *Agent) wanted(r *Rules) event.Interest {
	i := r.Interest()
	i.Union(&a.opts.Interest)
	if out := a.without.Load(); out != nil {
		i.Remove(out)
	}
	return i
}

// LeaveOut has the source not send events although rules want them, nil for
// none, so that a host that is too busy keeps what matters more. What the state
// of the host needs is sent in any case.
func (a *Agent) LeaveOut(out *event.Interest) error {
	a.swapMu.Lock()
	defer a.swapMu.Unlock()
	before := a.without.Swap(out)
	if err := a.ask(a.Interest()); err != nil {
		a.without.Store(before)
		return fmt.Errorf("ask for other events: %w", err)
	}
	return nil
}

// ask tells a source that can choose which events are wanted.
func (a *Agent) ask(i event.Interest) error {
	if c, ok := a.src.(event.Chooser); ok {
		return c.SetInterest(i)
	}
	return nil
}
