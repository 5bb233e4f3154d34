package probe

import (
	"rollcage/internal/observe/event"
)

// included knows which events of the stream a snapshot already contains.
//
// The probe streams before the snapshot is read, so that nothing is missed,
// and the snapshot is read while the host goes on. Each process carries the
// time just before its descriptors were read (F), each thread the time just
// before its record was (T), always F < T. An event about descriptors is
// included if it is older than F, any other if it is older than T. An event
// carries the time at which its system call ended, its effect is a little
// older: what is done twice for that is done with the same outcome.
//
// An exec between F and T is in the record but not in the descriptors, of
// which it closes some. It says all about the process, so it is handed out,
// and so is everything after it. The end of a thread is always handed out, and
// makes us forget the thread: what has its id later is another one.
//
// One thing is left to chance. Descriptors of a process are read one after
// the other, within microseconds; a dup of a descriptor that was read already
// onto one that was not, followed by a reuse of the first before F of the next
// is nothing that the times can tell.
type included struct {
	threads  map[int64]recordedThread // by tid
	fds      map[int64]uint64         // F by pid
	children map[childKey]int64       // tid by creator and id that the creator saw
	// end is the time when the snapshot was complete: later events are not in it.
	end uint64
}

// recordedThread is a thread of the snapshot, or one that a clone event told us about.
type recordedThread struct {
	pid  int64
	read uint64 // T, 0 for a thread that is not in the snapshot
	host bool   // its ids are the same in its own pid namespace
}

type childKey struct{ creator, vtid int64 }

func newIncluded() *included {
	return &included{threads: map[int64]recordedThread{}, fds: map[int64]uint64{}, children: map[childKey]int64{}}
}

// addFDs records when the descriptors of a process were read.
func (in *included) addFDs(pid int64, at uint64) { in.fds[pid] = at }

// addThread records when a thread was read.
func (in *included) addThread(t *event.ThreadInfo, at uint64) {
	in.threads[t.TID] = recordedThread{pid: t.PID, read: at, host: t.VTID == t.TID}
	creator := t.PTID
	if t.TID != t.PID {
		creator = t.PID
	}
	in.children[childKey{creator, t.VTID}] = t.TID
}

// Includes reports whether the snapshot contains what the event did, so that
// the event must not be handed out. Events are given in their order.
func (in *included) Includes(ev *event.Event) bool {
	ts, tid, typ := ev.Time(), ev.TID(), ev.Type()
	if ts >= in.end {
		return false
	}
	switch typ {
	case event.PROCEXIT_1_E:
		delete(in.threads, tid)
		return false
	case event.SYSCALL_CLONE_20_X, event.SYSCALL_FORK_20_X, event.SYSCALL_VFORK_20_X, event.SYSCALL_CLONE3_X:
		return in.includesClone(ev, ts, tid)
	}
	t, ok := in.threads[tid]
	if !ok {
		return false
	}
	if aboutFDs.Has(typ) {
		return ts < in.fds[t.pid]
	}
	if ts >= t.read {
		return false
	}
	if typ == event.SYSCALL_EXECVE_19_X || typ == event.SYSCALL_EXECVEAT_X {
		if res, ok := ev.Result(); ok && res == 0 && ts >= in.fds[t.pid] {
			in.forgetRecords(t.pid, ts)
			return false
		}
	}
	return true
}

// includesClone is Includes for the ends of clone in both parent and child.
func (in *included) includesClone(ev *event.Event, ts uint64, tid int64) bool {
	t, known := in.threads[tid]
	res, ok := ev.Result()
	switch {
	case !ok || res < 0:
		return known && ts < t.read
	case res == 0: // the child's own first event
		if !known {
			if pid, ok := ev.Int(pidParam[ev.Type()]); ok {
				in.threads[tid] = recordedThread{pid: pid}
			}
			return false
		}
		return ts < t.read
	case !known:
		return false
	}
	// The parent's event is about the child: it adds nothing to one that is in the
	// snapshot, which may have gone on while the parent was still on its way out.
	child, ok := in.children[childKey{t.pid, res}]
	if !ok && t.host {
		child, ok = res, true
	}
	c, ok := in.threads[child]
	return ok && c.read != 0
}

// forgetRecords makes the events of a process count from ts on.
func (in *included) forgetRecords(pid int64, ts uint64) {
	for tid, t := range in.threads {
		if t.pid == pid && t.read > ts {
			t.read = ts
			in.threads[tid] = t
		}
	}
}

// aboutFDs are the events that create, destroy, change or use a descriptor and
// do nothing else to the state.
var aboutFDs = func() (set event.TypeSet) {
	for _, i := range event.All() {
		if i.Flags&(event.CreatesFD|event.DestroysFD|event.UsesFD) != 0 {
			set.Add(i.Type)
		}
	}
	set.Add(event.SYSCALL_CLOSE_RANGE_X)
	set.Remove(event.SYSCALL_FCHDIR_X) // changes the thread
	return set
}()

// pidParam is the index of the parameter pid of the clone events.
var pidParam = func() map[event.Type]int {
	m := map[event.Type]int{}
	for _, t := range []event.Type{
		event.SYSCALL_CLONE_20_X, event.SYSCALL_FORK_20_X, event.SYSCALL_VFORK_20_X, event.SYSCALL_CLONE3_X,
	} {
		m[t] = t.Info().ParamIndex("pid")
	}
	return m
}()
