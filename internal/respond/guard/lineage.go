package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/scene"
)

// maxEnded bounds the processes that have ended and are remembered, the newest.
const maxEnded = 16384

// lineage remembers which process started which. Unlike the parent that the kernel tells, that
// does not change when a parent ends, so who hides by having its parent end is found.
// It implements [action.Lineage].
type lineage struct {
	mu     sync.Mutex
	living map[int64]*born // by pid
	ended  map[scene.Key]*born
	oldest []scene.Key // of ended, in order
	births map[birth]*born

	at atomic.Int64 // everything that happened before this time is taken in, ns since the epoch

	// Of the goroutine of the events alone:
	told    uint64 // what at was set to last
	applied bool   // an event, since idle was called
}

// born is a process with who started it.
type born struct {
	key       scene.Key
	parent    *born
	container string // the last one that it was seen in
	ended     bool
	forgotten bool
	// adopted says that it was there before us and that its parent may be another one than who
	// started it: not all that are in a container's pid namespace are adopted by its first process.
	adopted bool
}

// birth is the result of a clone, as its caller sees it.
type birth struct {
	container string
	vpid      int64
}

func newLineage() *lineage {
	return &lineage{living: map[int64]*born{}, ended: map[scene.Key]*born{}, births: map[birth]*born{}}
}

// loaded takes over the processes that are there. The goroutine of the events calls it, as seen and idle.
func (l *lineage) loaded(st *host.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.living)
	for t := range st.Threads() {
		if t.Leader == t {
			l.living[t.PID] = &born{key: scene.Key{PID: t.PID, Start: t.StartTime}, container: t.ContainerID(), adopted: t.VPID == t.PID}
		}
	}
	for t := range st.Threads() {
		if t.Leader == t && t.Parent != nil {
			l.living[t.PID].parent = l.living[t.Parent.PID]
		}
	}
}

// The result, and the flags, of clones.
const (
	cloneResult = 0
	cloneFlags  = 15
	cloneVfork  = 1 << 27
	cloneParent = 1 << 8
	cloneThread = 1 << 13
)

// seen is told of each event.
func (l *lineage) seen(he *host.Event) {
	l.applied = true
	t := he.Thread
	if t != nil {
		switch he.Type() {
		case event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.SYSCALL_FORK_20_X, event.SYSCALL_VFORK_20_X:
			l.clone(he, t)
		case event.SYSCALL_EXECVE_19_X, event.SYSCALL_EXECVEAT_X:
			l.mu.Lock()
			l.process(t.Leader)
			l.mu.Unlock()
		case event.PROCEXIT_1_E:
			if t.Leader.Dead && t.Leader.Threads <= 0 {
				l.end(t.Leader)
			}
		}
	}
	if now := he.Time(); now > l.told+tellEvery {
		l.told = now
		l.at.Store(int64(now))
	}
}

// tellEvery is after how many ns of events others are told how far they are.
const tellEvery = 1e6

// settled is how far behind now events may come when there seem to be none.
const settled = 20 * time.Millisecond

// idle is told that there is nothing to take in, or that a moment is over.
func (l *lineage) idle() {
	if !l.applied {
		l.at.Store(time.Now().Add(-settled).UnixNano())
	}
	l.applied = false
}

// clone takes down a birth. Of the two events of one, that of the child comes later if the caller ends at
// once; its parent is another one by then.
func (l *lineage) clone(he *host.Event, t *host.Thread) {
	res, ok := he.Int(cloneResult)
	flags, _ := he.Uint(cloneFlags)
	if !ok || res < 0 || flags&cloneThread != 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if res > 0 {
		if flags&cloneVfork == 0 && he.Type() != event.SYSCALL_VFORK_20_X { // else it waited for the child
			if len(l.births) >= maxEnded {
				clear(l.births)
			}
			l.births[birth{t.ContainerID(), res}] = l.process(t.Leader)
		}
		return
	}
	if t.Leader != t {
		return
	}
	b := l.process(t)
	b.adopted = false
	at := birth{t.ContainerID(), t.VPID}
	from := l.births[at]
	delete(l.births, at)
	// A caller that lives is the parent, unless it had its own made the parent.
	if from != nil && from != b && (from.ended || flags&cloneParent != 0) && !descends(from, b) {
		b.parent = from
	}
}

// process returns what is remembered of a process that lives. It is called with mu held.
func (l *lineage) process(t *host.Thread) *born {
	key := scene.Key{PID: t.PID, Start: t.StartTime}
	b := l.living[t.PID]
	if b == nil || b.key != key {
		if b != nil {
			l.bury(b) // its end was lost
		}
		b = &born{key: key, adopted: t.VPID == t.PID}
		l.living[t.PID] = b
		if t.Parent != nil && t.Parent.Leader == t.Parent {
			b.parent = l.process(t.Parent)
		}
	}
	b.container = t.ContainerID()
	return b
}

func (l *lineage) end(t *host.Thread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.living[t.PID]; b != nil {
		b.container = t.ContainerID()
		l.bury(b)
	}
}

// bury remembers a process as one that has ended, and forgets the oldest. It is called with mu held.
func (l *lineage) bury(b *born) {
	delete(l.living, b.key.PID)
	b.ended = true
	l.ended[b.key] = b
	l.oldest = append(l.oldest, b.key)
	if len(l.oldest) <= maxEnded {
		return
	}
	if o := l.ended[l.oldest[0]]; o != nil {
		o.forgotten = true
		o.parent = remembered(o.parent) // so that those that are forgotten do not hold each other
		delete(l.ended, o.key)
	}
	l.oldest = l.oldest[1:]
}

// remembered returns the process or the nearest of those before it that is not forgotten.
func remembered(b *born) *born {
	for b != nil && b.forgotten {
		b = b.parent
	}
	return b
}

// up returns who started a process, as far as that is remembered. It is called with mu held.
func (b *born) up() *born {
	b.parent = remembered(b.parent)
	return b.parent
}

// descends reports whether b is the ancestor or comes from it.
func descends(b, ancestor *born) bool {
	for ; b != nil; b = b.up() {
		if b == ancestor {
			return true
		}
	}
	return false
}

// find is called with mu held. A start of 0 means the process that lives.
func (l *lineage) find(k scene.Key) *born {
	if b := l.ended[k]; b != nil {
		return b
	}
	if b := l.living[k.PID]; b != nil && (k.Start == 0 || max(b.key.Start, k.Start)-min(b.key.Start, k.Start) < startSlack) {
		return b
	}
	return nil
}

// startSlack is by how much, in ns, a snapshot may tell another start of a process than its birth did, before a restart of guard.
const startSlack = 2e9

// Entry implements action.Lineage.
func (l *lineage) Entry(k scene.Key) (scene.Key, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.find(k)
	if b == nil || b.container == "" {
		return scene.Key{}, false
	}
	for p := b.up(); p != nil && p.container == b.container; p = b.up() {
		b = p
	}
	return b.key, !b.adopted
}

// Descendants implements action.Lineage.
func (l *lineage) Descendants(k scene.Key) (list []scene.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	root := l.find(k)
	if root == nil {
		return nil
	}
	known := map[*born]bool{root: true} // whether it comes from root
	var way []*born
	for _, b := range l.living {
		way = way[:0]
		comes := false
		for p := b; p != nil; p = p.up() {
			var ok bool
			if comes, ok = known[p]; ok {
				break
			}
			way = append(way, p)
		}
		for _, p := range way {
			known[p] = comes
		}
		if comes {
			list = append(list, b.key)
		}
	}
	return list
}

// Settle implements action.Lineage.
func (l *lineage) Settle(ctx context.Context) bool {
	for now := time.Now().UnixNano(); l.at.Load() < now; {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
}
