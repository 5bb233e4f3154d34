package host

import (
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/procfs"
)

// Clock is the clock of the events of a live host. It starts with the wall clock
// and goes on by itself when that is set: the order of events is worth more than the time of day.
type Clock struct {
	epoch uint64 // its time when the machine started, in ns since the epoch; 0 if it is not known
}

// Clock returns the clock of the events that are applied to the state.
func (s *State) Clock() Clock { return Clock{s.machine.BootTime} }

func (c Clock) start() uint64 {
	if c.epoch == 0 {
		return procfs.BootTime()
	}
	return c.epoch
}

// Now returns what time it is by the clock, in ns since the epoch.
func (c Clock) Now() uint64 { return c.start() + uint64(sinceBoot()) }

// SinceBoot returns how long after the start of the machine an event was, in ns, at most now.
func (c Clock) SinceBoot(at uint64) int64 { return min(int64(at-c.start()), sinceBoot()) }

// At returns the time that was so many ns after the start of the machine.
func (c Clock) At(sinceBoot int64) uint64 { return c.start() + uint64(sinceBoot) }

// noStep is the least that the wall clock is said to be set by: two clocks are not read at once.
const noStep = 100 * time.Millisecond

// Ahead returns how far the wall clock is ahead of the clock of the events: what
// it was set by since that began. It is 0 if it was not set.
func (c Clock) Ahead() time.Duration {
	if c.epoch == 0 {
		return 0
	}
	ahead := time.Duration(procfs.BootTime() - c.epoch)
	if ahead.Abs() < noStep {
		return 0
	}
	return ahead
}

func sinceBoot() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // the clock always exists
	return ts.Nano()
}
