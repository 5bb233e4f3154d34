package capture

import "rollcage/internal/observe/event"

// maxCalls bounds the calls that are under way at a time; a real host has
// fewer threads.
const maxCalls = 1 << 20

// callClock measures the calls of old captures, which have an event for the
// entry of a call: the latency of the exit event is the time since the thread
// entered that call.
type callClock struct {
	entered map[int64]*entry // the last entry of each thread
}

type entry struct {
	at   uint64
	typ  event.Type
	done bool // its exit was seen
}

// latency returns that of ev as it is stored, 0 if its entry was not seen.
func (c *callClock) latency(ev *event.Event) uint64 {
	typ := ev.Type()
	if typ.IsEnter() {
		if ev.Info().Origin == event.OriginSyscall {
			c.enter(ev)
		}
		return 0
	}
	e := c.entered[ev.TID()]
	if e == nil || e.done || !ends(e.typ, typ) {
		return 0
	}
	e.done = true
	return max(ev.Time(), e.at) - e.at
}

func (c *callClock) enter(ev *event.Event) { c.resume(Call{ev.TID(), ev.Time(), ev.Type()}) }

// resume notes that a thread is in a call.
func (c *callClock) resume(call Call) {
	e := c.entered[call.TID]
	if e == nil {
		if c.entered == nil || len(c.entered) >= maxCalls {
			c.entered = map[int64]*entry{}
		}
		e = new(entry)
		c.entered[call.TID] = e
	}
	e.at, e.typ, e.done = call.At, call.Type, false
}

// ends reports whether an exit event belongs to an enter event. An execveat
// that succeeds ends as execve.
func ends(enter, exit event.Type) bool {
	return enter+1 == exit || enter == event.SYSCALL_EXECVEAT_E && exit == event.SYSCALL_EXECVE_19_X
}
