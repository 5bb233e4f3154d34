package field

import (
	"math"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The fields of this file are about events that only old captures have. Unlike
// others they remember earlier events: each must be read by one goroutine, for
// every event.

// maxTallied is how many threads a tally holds at most.
const maxTallied = 1 << 16

// tally is a number for each thread.
type tally map[int64]uint64

// put stores the number of a thread unless there are too many threads.
func (t tally) put(tid int64, n uint64) {
	if _, ok := t[tid]; ok || len(t) < maxTallied {
		t[tid] = n
	}
}

// switches remembers when each processor last changed its thread.
type switches map[uint16]uint64

// slice returns how long the thread ran that a switch event ends, 0 for other
// events and the first of a processor.
func (s switches) slice(e *host.Event) uint64 {
	if t := e.Type(); t != event.SCHEDSWITCH_1_E && t != event.SCHEDSWITCH_6_E {
		return 0
	}
	last := s[e.CPU]
	s[e.CPU] = e.Time()
	return since(e.Time(), last)
}

func execTime(f *Field) error {
	s := switches{}
	return always(s.slice)(f)
}

func totalExecTime(f *Field) error {
	s, total := switches{}, tally{}
	return number(func(e *host.Event) (uint64, bool) {
		if e.Thread == nil {
			return 0, false
		}
		n := total[e.TID()]
		if d := s.slice(e); d > 0 {
			n += d
			total.put(e.TID(), n)
		}
		return n, true
	})(f)
}

// cpuShare binds the growth, since the thread's last procinfo event, of the
// sum of the given parameters, which count hundredths of a second.
func cpuShare(params ...int) binder {
	return func(f *Field) error {
		last := tally{}
		f.Read = func(e *host.Event, v *Value) bool {
			if e.Type() != event.PROCINFO_E || e.Thread == nil {
				return false
			}
			sum := uint64(0)
			for _, i := range params {
				n, _ := e.Uint(i)
				sum += n
			}
			before := last[e.TID()]
			last.put(e.TID(), sum)
			v.Float = 0
			if before != 0 && sum > before {
				v.Float = math.Min(float64(sum-before), 100)
			}
			return true
		}
		return nil
	}
}
