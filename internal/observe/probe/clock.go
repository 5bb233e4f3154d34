package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// slack covers the moment between a CPU's note that it begins an event and the
// note's being visible to other CPUs, in ns.
const slack = 50_000

// eventClock knows up to which time all events are in their rings. Each CPU
// notes the time of the event that it is just making in memory that is shared
// with the programs; the oldest of them, or else now, is that time.
type eventClock struct {
	epoch   uint64
	notes   []byte // the programs' scratch areas; each begins with its note
	counts  []byte // of drops
	markers []*atomic.Uint64
	mark    uint64
}

func newEventClock(k *kernelSide, epoch uint64) (*eventClock, error) {
	c := &eventClock{epoch: epoch}
	var err error
	stride := int(unsafe.Sizeof(bpfScratch{}))
	n := k.cpus * int(bpfRootROOTS)
	if c.notes, err = mapShared(k.objs.Scratches.FD(), n*stride); err != nil {
		return nil, err
	}
	if c.counts, err = mapShared(k.objs.Drops.FD(), k.cpus*int(unsafe.Sizeof(bpfDropCounts{}))); err != nil {
		return nil, errors.Join(err, unix.Munmap(c.notes))
	}
	for i := range n {
		c.markers = append(c.markers, (*atomic.Uint64)(unsafe.Pointer(&c.notes[i*stride])))
	}
	return c, nil
}

func mapShared(fd, size int) ([]byte, error) {
	page := os.Getpagesize()
	b, err := unix.Mmap(fd, 0, (size+page-1)/page*page, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the programs' memory: %w", err)
	}
	return b, nil
}

// watermark returns a time such that every event up to it is in its ring. It never goes back.
func (c *eventClock) watermark() uint64 {
	mark := c.epoch + uint64(clock(unix.CLOCK_BOOTTIME)) - slack
	for _, m := range c.markers {
		switch since := m.Load(); {
		case since == 1: // it is reading the clock: no telling what it will read
			return c.mark
		case since != 0 && since <= mark:
			mark = since - 1
		}
	}
	c.mark = max(c.mark, mark)
	return c.mark
}

// now is the time by the clock of the events.
func (c *eventClock) now() uint64 { return c.epoch + uint64(clock(unix.CLOCK_BOOTTIME)) }

// close frees all but the notes, which a Next may still look at: see remains.
func (c *eventClock) close() error { return unix.Munmap(c.counts) }

// count fills in what the kernel side counted: events that were lost, in all, by type and by CPU, and the runs of its programs.
func (k *kernelSide) count(c *eventClock, s *event.Stats) {
	counts := unsafe.Slice((*bpfDropCounts)(unsafe.Pointer(&c.counts[0])), k.cpus)
	for cpu := range counts {
		for t := range counts[cpu].N {
			n := atomic.LoadUint64(&counts[cpu].N[t])
			if n == 0 {
				continue
			}
			if s.Drops == nil {
				s.Drops = map[event.Type]uint64{}
			}
			s.Dropped += n
			s.Drops[event.Type(t)] += n
			s.CPUs[cpu].Dropped += n
		}
	}
	// Where BPF programs may be preempted, the kernel itself skips one that would run twice on a CPU.
	for _, p := range k.objs.programs() {
		ran, err := p.Stats()
		if err != nil {
			continue
		}
		s.Dropped += ran.RecursionMisses
		if ran.RunCount > 0 {
			s.Programs = append(s.Programs, event.ProgramStats{Name: nameOf(p), Runs: ran.RunCount, Time: uint64(ran.Runtime)})
		}
	}
}

// nameOf returns the whole name of a program: the kernel cuts it, so that two would be alike.
func nameOf(p *ebpf.Program) string {
	name := strings.TrimPrefix(p.String(), p.Type().String()+"(")
	return name[:max(0, strings.LastIndexByte(name, ')'))]
}
