package probe

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

var errClosed = errors.New("the probe is closed")

// MaxSnaplen is the largest number of bytes of data that an event carries.
const MaxSnaplen = 32768

// Options say what is watched and how.
type Options struct {
	// Interest is what is sent beside what the state of the host needs.
	Interest event.Interest
	// Snaplen is how many bytes of the data of reads and writes an event
	// carries, at most MaxSnaplen; 0 means 80, negative none.
	Snaplen int
	// RingSize is the size in bytes of the ring that each CPU writes activity
	// into; it is rounded down to a power of two. 0 means 8 MiB, less with many CPUs.
	// The ring for the life of processes has a quarter of it.
	RingSize int
	// WatchSelf includes what this process does. Watching what comes of
	// watching is a loop, so it is meant for tests.
	WatchSelf bool
	// FilterProcesses makes SetProcessInterest possible. It costs a little at
	// every exec and change of credentials.
	FilterProcesses bool
	// Latency measures how long each call took that is sent, also when Interest does not ask for it: see
	// event.Event.Latency. It costs every call of the host some 20 ns, wanted ones 50 ns more.
	Latency bool
	// SampleArguments also reads names and addresses when a call that opens, connects or executes begins. Without
	// it, a program can hide what it has tried in vain by writing another name there before the call ends; what
	// succeeded it cannot hide. A call that fails with another argument than it was begun with is told twice, once with each.
	// It costs as much as Latency, the named calls 100 ns more.
	SampleArguments bool
	// Box, if set, is what the black box keeps: see Probe.BlackBox.
	Box *BoxOptions
	// OnKill, if set, is told of each event that made the kernel send a signal for a Kill with that ID, before
	// Next hands it out. The event is valid until it returns.
	OnKill func(ev *event.Event, id int)
	// OnCgroup, if set, is told the path of every new cgroup at once, in the
	// hierarchy that it is made in, by a goroutine of the probe.
	OnCgroup func(path string)
}

// Probe is the running host as an event.Source. Next is for one goroutine,
// the other methods may be called from any.
type Probe struct {
	kernel    *kernelSide
	merge     *merge
	clock     *eventClock
	waiter    *waiter
	notices   *noticeReader
	snapshot  *event.Snapshot
	options   Options
	box       *BlackBox
	interest  event.Interest
	kills     []Kill
	lastScope uint32    // of kills, as numbered in the kernel
	backlog   backlog   // of the time in which the snapshot was taken
	beside    beside    // what records carry beside their events
	included  *included // while events may be older than the snapshot
	remains   *remains
	cleanup   runtime.Cleanup

	mu       sync.Mutex // of SetInterest, Stats, Close
	closed   atomic.Bool
	events   []atomic.Uint64 // handed out, by CPU
	skipped  atomic.Uint64
	caughtUp atomic.Uint64
	last     event.Stats // when closed
}

var _ event.Source = (*Probe)(nil)

// Open starts to watch the host. The snapshot is taken while events are
// already recorded, so nothing is missed.
func Open(o Options) (*Probe, error) {
	if o.Snaplen == 0 {
		o.Snaplen = 80
	}
	o.Snaplen = max(0, min(o.Snaplen, MaxSnaplen))
	if err := Supported(); err != nil {
		return nil, err
	}
	// Events keep counting from it, also when the clock is set later: order is worth more.
	epoch := procfs.BootTime()
	k, err := loadKernelSide(&o, epoch)
	if err != nil {
		return nil, err
	}
	p := &Probe{kernel: k, options: o, events: make([]atomic.Uint64, k.cpus)}
	// Whoever closes a probe may still look at an event, or for the next: the rings are unmapped
	// when Next says that it is over, or when nobody holds the probe any more.
	p.remains = &remains{rings: k.rings}
	p.cleanup = runtime.AddCleanup(p, (*remains).free, p.remains)
	if err := p.start(&o, epoch); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Probe) start(o *Options, epoch uint64) error {
	var err error
	if p.clock, err = newEventClock(p.kernel, epoch); err != nil {
		return err
	}
	p.remains.notes = p.clock.notes
	p.merge = newMerge(p.kernel.rings, p.clock.watermark)
	if p.waiter, err = newWaiter(p.kernel); err != nil {
		return err
	}
	p.remains.waiter = p.waiter
	if o.OnCgroup != nil {
		if p.notices, err = startNotices(p.kernel.objs.Notices, o.OnCgroup); err != nil {
			return err
		}
	}
	if o.Box != nil {
		if p.box, err = openBox(p.kernel, o.Box, p.clock.now); err != nil {
			return err
		}
	}
	if err := p.SetInterest(o.Interest); err != nil {
		return err
	}
	how := prepareSnapshot(epoch)
	defer how.close()
	if err := p.kernel.attach(o); err != nil {
		return err
	}
	p.backlog.keepWhile(p.merge, func() { p.snapshot, p.included, err = takeSnapshot(how) })
	if err != nil {
		return fmt.Errorf("take the first snapshot: %w", err)
	}
	return nil
}

// Snapshot returns the state of the host when the stream began.
func (p *Probe) Snapshot() *event.Snapshot { return p.snapshot }

// Next makes ev a view of the next event in order of time, in the kernel's own
// memory: it is valid until the following call of Next.
func (p *Probe) Next(ev *event.Event) error {
	for {
		if p.closed.Load() {
			return p.eof()
		}
		rec, cpu := p.take(ev)
		if rec == nil {
			p.caughtUp.Store(p.merge.mark)
			if !p.waiter.wait() {
				return event.ErrIdle
			}
			continue // nothing yet, or just closed
		}
		rec, tail, extra := splitRecord(rec)
		if err := ev.Reset(rec); err != nil {
			p.skipped.Add(1)
			continue
		}
		if p.included != nil {
			if ev.Time() >= p.included.end {
				p.included = nil
			} else if p.included.Includes(ev) {
				continue
			}
		}
		if err := p.beside.settle(ev, tail, extra); err != nil {
			p.skipped.Add(1)
			continue
		}
		if tail.Kill != 0 && p.options.OnKill != nil {
			p.options.OnKill(ev, int(tail.Kill))
		}
		ev.CPU, ev.Hidden = cpu, false
		p.events[cpu].Add(1)
		p.waiter.busy()
		return nil
	}
}

// take returns the record that comes after ev: a second one of the same call, or the oldest of all.
func (p *Probe) take(ev *event.Event) ([]byte, uint16) {
	if rec := p.beside.again(); rec != nil {
		return rec, ev.CPU
	}
	return p.backlog.next(p.merge)
}

// BlackBox returns the black box, nil if the probe was opened without one.
func (p *Probe) BlackBox() *BlackBox { return p.box }

// Stats returns what was handed out and what was lost so far.
func (p *Probe) Stats() event.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats()
}

func (p *Probe) stats() event.Stats {
	if p.closed.Load() {
		return p.last
	}
	s := event.Stats{Skipped: p.skipped.Load(), CaughtUp: p.caughtUp.Load(), CPUs: make([]event.CPUStats, len(p.events))}
	for cpu := range p.events {
		n := p.events[cpu].Load()
		s.CPUs[cpu].Events = n
		s.Events += n
	}
	p.kernel.count(p.clock, &s)
	return s
}

// Close stops watching. A Next that waits returns io.EOF; what it handed out
// last stays valid as long as the probe is referred to.
func (p *Probe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return nil
	}
	if p.clock != nil {
		p.last = p.stats()
	}
	p.closed.Store(true)
	errs := []error{p.kernel.detach()}
	if p.box != nil {
		errs = append(errs, p.box.close())
	}
	if p.waiter != nil {
		errs = append(errs, p.waiter.stop())
	}
	if p.notices != nil {
		errs = append(errs, p.notices.stop())
	}
	if p.clock != nil {
		errs = append(errs, p.clock.close())
	}
	return errors.Join(append(errs, p.kernel.close())...)
}

// eof frees what could not be freed while an event may have been looked at.
func (p *Probe) eof() error {
	p.mu.Lock() // so that Close is done
	defer p.mu.Unlock()
	p.cleanup.Stop()
	p.remains.free()
	return io.EOF
}

// remains is what outlives Close.
type remains struct {
	rings  []*ring
	notes  []byte // of the clock
	waiter *waiter
}

func (r *remains) free() {
	for _, ring := range r.rings {
		_ = ring.close() // nobody is left to tell
	}
	if r.notes != nil {
		_ = unix.Munmap(r.notes)
	}
	if r.waiter != nil {
		_ = r.waiter.close()
	}
	r.rings, r.notes, r.waiter = nil, nil, nil
}

func clock(id int32) int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t) // these clocks always exist
	return t.Nano()
}
