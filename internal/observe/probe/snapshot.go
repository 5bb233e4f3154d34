package probe

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

// snapshotOptions say how a snapshot is taken.
type snapshotOptions struct {
	// BootTime is the time of boot (ns since the epoch) that the times of the
	// events count from: an event's time is BootTime + CLOCK_BOOTTIME.
	BootTime uint64
	// Iterators read threads and descriptors, see loadIterators. They must
	// count from the same BootTime. nil reads everything from /proc.
	Iterators *iterators
	// Warn is told why the iterators failed, when /proc was read instead. It may be nil.
	Warn func(error)
}

// prepareSnapshot loads what reads a snapshot of a host whose events count from
// bootTime. It takes a tenth of a second: do it before the first event.
func prepareSnapshot(bootTime uint64) snapshotOptions {
	o := snapshotOptions{BootTime: bootTime, Warn: func(err error) {
		slog.Warn("The processes that run already are read from /proc, as BPF iterators fail.", "error", err)
	}}
	var err error
	if o.Iterators, err = loadIterators(bootTime); err != nil {
		o.Warn(err)
	}
	return o
}

// close frees what prepareSnapshot loaded.
func (o *snapshotOptions) close() {
	if o.Iterators != nil {
		o.Iterators.close()
	}
}

// now is the time by the clock of the events.
func (o *snapshotOptions) now() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // the clock always exists
	return o.BootTime + uint64(t.Nano())
}

// takeSnapshot reads the state of the host while events are already being
// recorded. The events of that time have in part been at work when their
// thread or its descriptors were read; the returned included knows which, and
// the stream must leave those out.
//
// Only a host without readable /proc gives no snapshot.
func takeSnapshot(o snapshotOptions) (*event.Snapshot, *included, error) {
	r, err := procfs.Open("/proc")
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	r.SetBootTime(o.BootTime)

	s := &event.Snapshot{Live: true, Machine: r.Machine()}
	var in *included
	if s.Threads, in, err = scan(r, &o); err != nil {
		return nil, nil, fmt.Errorf("take a snapshot: %w", err)
	}
	// What cannot be read of these is left out: rules work without.
	s.Interfaces, _ = procfs.Interfaces()
	s.Users, s.Groups, _ = procfs.ReadUsers("/")
	return s, in, nil
}

// scan reads all threads and descriptors.
func scan(r *procfs.Reader, o *snapshotOptions) ([]*event.ThreadInfo, *included, error) {
	if o.Iterators != nil {
		in := newIncluded()
		threads, err := scanIterators(o.Iterators, r, o, in)
		if err == nil {
			in.end = o.now()
			return threads, in, nil
		}
		if o.Warn != nil {
			o.Warn(err)
		}
	}
	in := newIncluded()
	threads, err := readOthers(r, map[int64]bool{}, o, in)
	in.end = o.now()
	return threads, in, err
}

// maxPasses bounds how often the list of processes is read for those that are
// new. Each pass is shorter than the one before: there is less to read meanwhile.
const maxPasses = 8

// readOthers reads the processes that are not known yet from /proc, and then
// those that have come meanwhile. A child that was born before its parent's
// descriptors were read must not be left to its clone event, by which it
// would inherit what the parent had later.
func readOthers(r *procfs.Reader, known map[int64]bool, o *snapshotOptions, in *included) ([]*event.ThreadInfo, error) {
	var all []*event.ThreadInfo
	for range maxPasses {
		pids, err := r.PIDs()
		if err != nil {
			return all, err
		}
		slices.Sort(pids)
		pids = slices.DeleteFunc(pids, func(pid int64) bool { return known[pid] })
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			known[pid] = true
			all = append(all, readProcess(r, pid, o, in)...)
		}
	}
	return all, nil
}

// readProcess reads the threads of one process and its descriptors from
// /proc, nil if it is gone. Descriptors come first: see included.
func readProcess(r *procfs.Reader, pid int64, o *snapshotOptions, in *included) []*event.ThreadInfo {
	fdsAt := o.now()
	fds, err := r.FDs(pid)
	if errors.Is(err, procfs.ErrGone) {
		return nil
	}
	threadsAt := o.now()
	threads, err := r.Threads(pid)
	if err != nil {
		return nil
	}
	threads[0].FDs = fds
	in.addFDs(pid, fdsAt)
	for _, t := range threads {
		in.addThread(t, threadsAt)
	}
	return threads
}
