package ruletest

import (
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// world is the host of a test while its events happen.
type world struct {
	parser
	state *host.State
	now   uint64
	num   *uint64 // numbers events over all tests, so that no two are taken for one
	ev    event.Event
	he    host.Event
	buf   []byte
}

// tick is the time between two events, in ns.
const tick = 1e6

// cloneThread marks a clone that makes a thread (clone_flags).
const cloneThread = 1 << 13

// happen makes a step happen and returns the event, nil after an error.
func (w *world) happen(s *step) *host.Event {
	w.now += uint64(s.after) + tick
	info, code := typeOf(s.name)
	if info == nil {
		return nil
	}
	errs := len(w.errs)
	c := &call{info: info, code: code, step: s, values: map[string]any{}}
	for name, n := range s.params {
		if v := w.value(&info.Params[info.ParamIndex(name)], n); v != nil {
			c.values[name] = v
		}
	}
	tid, ok := w.actor(c)
	if !ok || len(w.errs) > errs {
		return nil
	}
	if c.thread != nil {
		c.nextFD = nextFD(c.thread)
		w.needDescriptors(c)
	}
	values := make([]any, len(info.Params))
	for i := range info.Params {
		name := info.Params[i].Name
		if v, given := c.values[name]; given {
			values[i] = v
		} else if n := s.params[name]; n == nil {
			values[i] = c.fallback(i)
		}
	}
	if len(w.errs) > errs {
		return nil
	}
	return w.apply(c, tid, false, values)
}

// apply gives an event to the state.
func (w *world) apply(c *call, tid int64, hidden bool, values []any) *host.Event {
	var err error
	if w.buf, err = event.Append(w.buf[:0], w.now, tid, c.info.Type, values...); err == nil {
		err = w.ev.Reset(w.buf)
	}
	if err != nil {
		w.fail(c.step.node, "%v", err)
		return nil
	}
	w.ev.Hidden = hidden
	if !hidden {
		*w.num++
	}
	w.ev.Num = *w.num
	w.state.Apply(&w.ev, &w.he)
	return &w.he
}

// actor finds the thread that causes the event, and makes it if the test says
// whose child it is. It reports false after an error.
func (w *world) actor(c *call) (tid int64, ok bool) {
	s := c.step
	switch {
	case s.pid == 0 && (c.info.Origin == event.OriginMeta || c.info.Category == event.CategoryInternal):
		return -1, true
	case s.pid == 0:
		w.fail(s.node, "%s needs the pid of the process that does it", s.name)
		return 0, false
	}
	process := w.state.Thread(s.pid)
	if process == nil {
		parent := w.state.Thread(s.parent)
		switch {
		case s.parent == 0:
			w.fail(s.node, "process %d is not there: put it under processes, or give its parent for a new one", s.pid)
			return 0, false
		case parent == nil:
			w.fail(s.node, "the parent %d of process %d is not there", s.parent, s.pid)
			return 0, false
		}
		if process = w.clone(c, parent, s.pid, 0); process == nil {
			return 0, false
		}
	}
	c.thread = process
	if s.tid != 0 && s.tid != s.pid {
		if c.thread = w.state.Thread(s.tid); c.thread == nil {
			c.thread = w.clone(c, process, s.tid, cloneThread)
		}
	}
	if c.thread == nil {
		return 0, false
	}
	return c.thread.TID, true
}

// clone makes a copy of a process, or a thread of it, that nobody sees come.
func (w *world) clone(c *call, from *host.Thread, tid int64, flags uint64) *host.Thread {
	child := *c
	child.info, child.values = event.SYSCALL_CLONE_20_X.Info(), map[string]any{}
	child.thread = from
	pid, parent := tid, from.PID
	if flags&cloneThread != 0 {
		pid, parent = from.PID, from.PTID
	}
	given := map[string]any{
		"tid": tid, "pid": pid, "ptid": parent, "vtid": tid, "vpid": pid, "flags": flags | uint64(from.Flags),
	}
	if from.VPID != from.PID { // in a pid namespace: some number that is free there
		given["vtid"] = from.VPID + tid - from.PID
		given["vpid"] = from.VPID + pid - from.PID
	}
	values := make([]any, len(child.info.Params))
	for i := range child.info.Params {
		if v, ok := given[child.info.Params[i].Name]; ok {
			values[i] = v
		} else {
			values[i] = child.fallback(i)
		}
	}
	if w.apply(&child, tid, true, values) == nil {
		return nil
	}
	t := w.state.Thread(tid)
	if t == nil {
		w.fail(c.step.node, "process %d could not be made", tid)
	}
	return t
}

// nextFD returns the smallest number from 3 that the process has free.
func nextFD(t *host.Thread) int64 {
	n := int64(3)
	for t.FDs != nil && t.FDs.Get(n) != nil {
		n++
	}
	return n
}

// inProgress is EINPROGRESS, with which the connect of a socket that does not wait succeeds.
const inProgress = -115

// needDescriptors sees to it that the descriptors which the event uses are
// there. A socket that is connected or bound is made on the way, other
// descriptors must have been opened.
func (w *world) needDescriptors(c *call) {
	if res, given := c.values["res"].(uint64); given && int64(res) < 0 && int64(res) != inProgress {
		return
	}
	for _, name := range []string{"fd", "oldfd"} {
		i := c.info.ParamIndex(name)
		num, given := c.values[name].(uint64)
		if _, some := c.values[name]; i > 0 && name == "fd" && !some {
			// Who gives an address and no descriptor wants a new socket.
			if num = uint64(nextFD(c.thread)); w.socket(c, num) {
				c.values[name] = num
			}
			continue
		}
		if i <= 0 || !given || int64(num) < 0 || c.thread.FDs != nil && c.thread.FDs.Get(int64(num)) != nil {
			continue
		}
		if w.socket(c, num) {
			continue
		}
		w.fail(c.step.params[name], "process %d has no descriptor %d: open it in an event before, or put it under fds of the process", c.thread.PID, num)
	}
}

// socket makes the socket for an event that gives an address. It reports
// false if the event is not of that kind.
func (w *world) socket(c *call, num uint64) bool {
	address := c.values["addr"]
	if address == nil {
		address = c.values["tuple"]
	}
	b, ok := address.([]byte)
	if !ok || len(b) == 0 || c.info.Category != event.CategoryNet && c.info.Flags&event.WritesToFD == 0 {
		return false
	}
	kind := uint64(1) // SOCK_STREAM
	if c.info.Flags&event.WritesToFD != 0 {
		kind = 2 // a datagram says where it goes
	}
	made := *c
	made.info = event.SOCKET_SOCKET_X.Info()
	return w.apply(&made, c.thread.TID, true, []any{num, uint64(b[0]), kind, uint64(0), uint64(0)}) != nil
}
