package api

import (
	"context"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
)

// span is the events from number first to the one before end.
type span struct{ first, end uint64 }

// lastEvent is behind all numbers of events.
const lastEvent = ^uint64(0)

// spans returns the stretches of a question's capture as spans.
func spans(stretches []recording.Stretch) []span {
	out := make([]span, len(stretches))
	for i := range stretches {
		out[i] = span{stretches[i].First, lastEvent}
		if i > 0 {
			out[i-1].end = stretches[i].First
		}
	}
	return out
}

// needed returns what must be read of the window for a condition: what the
// facts of the capture do not exclude, and the last stretch if it is wanted for the
// state at the end. Neighbours are joined.
func needed(x *question, c *condition, last bool) []span {
	stretches := x.rec.Stretches()
	all := spans(stretches)
	if c.prog == nil {
		return []span{{0, lastEvent}}
	}
	known := x.rec.Foresee(c.prog, c.id)
	if len(known) < len(all) { // the survey goes on
		return []span{{0, lastEvent}}
	}
	end := len(all) - 1
	for end > 0 && x.window.To != 0 && stretches[end].Time > x.window.To {
		end--
	}
	var out []span
	for i := range all[:end+1] {
		switch {
		case known[i].Known && known[i].N == 0 && (i < end || !last):
		case len(out) > 0 && out[len(out)-1].end == all[i].first:
			out[len(out)-1].end = all[i].end
		default:
			out = append(out, all[i])
		}
	}
	return out
}

// covered reports whether the window has all of a stretch.
func covered(x *question, stretches []recording.Stretch, i int) bool {
	info := x.rec.Info()
	from, to := info.Start, info.End
	if i > 0 {
		from = stretches[i].Time
	}
	if i+1 < len(stretches) {
		to = stretches[i+1].Time
	}
	// What happened at the very ends may belong to the neighbours.
	return x.window == recording.All || x.window.From < from && (x.window.To == 0 || x.window.To > to)
}

// outside reports whether the window has nothing of a stretch.
func outside(x *question, stretches []recording.Stretch, i int) bool {
	return x.window.To != 0 && i > 0 && stretches[i].Time > x.window.To ||
		i+1 < len(stretches) && stretches[i+1].Time < x.window.From
}

// count fills in how many events of each stretch fit: from the facts where they
// tell, else by reading, stretches at the same time. done is called, one call at a time,
// with the number of stretches that are counted.
func (s *Server) count(ctx context.Context, x *question, l *listing, done func(n int) error) error {
	var todo []int
	known := []recording.Foresight(nil)
	if x.cond.prog != nil && l.done {
		known = x.rec.Foresee(x.cond.prog, x.cond.id)
	}
	for i := range l.stretches {
		switch {
		case outside(x, l.stretches, i):
		case i < len(known) && known[i].Known && (known[i].N == 0 || covered(x, l.stretches, i)):
			l.counts[i] = known[i].N
		case x.cond.prog == nil && l.done && covered(x, l.stretches, i):
			l.counts[i] = shownIn(x, l.stretches, i)
		default:
			todo = append(todo, i)
		}
		l.total += l.counts[i]
	}
	if len(todo) == 0 {
		return ctx.Err()
	}
	places, err := s.places(ctx, min(len(todo), runtime.NumCPU()))
	if err != nil {
		return err
	}
	defer s.leave(places)
	type counted struct {
		at int
		n  uint64
	}
	jobs, results := make(chan int), make(chan counted)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(jobs)
		for _, i := range todo {
			select {
			case jobs <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range places {
		group.Go(func() error {
			c, err := newCondition(x.cond.text)
			if err != nil {
				return err
			}
			for i := range jobs {
				n, err := countIn(ctx, x, c, spans(l.stretches)[i])
				if err != nil {
					return err
				}
				select {
				case results <- counted{i, n}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		for n := range todo {
			select {
			case r := <-results:
				l.counts[r.at] = r.n
				l.total += r.n
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := done(len(l.stretches) - len(todo) + n + 1); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// shownIn returns how many events a stretch has.
func shownIn(x *question, stretches []recording.Stretch, i int) uint64 {
	if i+1 < len(stretches) {
		return stretches[i+1].Shown - stretches[i].Shown
	}
	return x.rec.Info().Events - stretches[i].Shown
}

func countIn(ctx context.Context, x *question, c *condition, part span) (n uint64, err error) {
	err = x.rec.ScanFrom(ctx, part.first, x.window, recording.Visitor{Event: func(he *host.Event) error {
		if he.Num >= part.end {
			return recording.ErrStop
		}
		if c.fits(he) {
			n++
		}
		return nil
	}})
	return n, err
}

// places takes a place for a scan, and up to most as far as others are free.
func (s *Server) places(ctx context.Context, most int) (int, error) {
	select {
	case s.scans <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for n := 1; ; n++ {
		if n >= most {
			return n, nil
		}
		select {
		case s.scans <- struct{}{}:
		default:
			return n, nil
		}
	}
}

func (s *Server) leave(places int) {
	for range places {
		<-s.scans
	}
}

// divide divides spans among n parts, in order, each about as many stretches of the capture.
func divide(list []span, stretches []recording.Stretch, n int) [][]span {
	var single []span
	for _, sp := range list {
		for _, st := range stretches {
			if st.First > sp.first && st.First < sp.end {
				single = append(single, span{sp.first, st.First})
				sp.first = st.First
			}
		}
		single = append(single, sp)
	}
	out := make([][]span, n)
	for i, sp := range single {
		at := i * n / len(single)
		if k := len(out[at]); k > 0 && out[at][k-1].end == sp.first {
			out[at][k-1].end = sp.end
		} else {
			out[at] = append(out[at], sp)
		}
	}
	return slices.DeleteFunc(out, func(p []span) bool { return len(p) == 0 })
}
