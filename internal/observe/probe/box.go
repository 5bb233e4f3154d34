package probe

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// BoxOptions say what the black box keeps.
type BoxOptions struct {
	// Size is the memory of each CPU in bytes, in pieces of 512 KiB and at least two of them; 0 means 8 MiB. The oldest piece is
	// overwritten as a whole, so that much less is there at times.
	Size int
	// Interest is what is kept beside what the state of the host needs.
	Interest event.Interest
	// Snaplens is how many bytes of data are kept, by what a descriptor is, up to MaxSnaplen.
	Snaplens BoxSnaplens
	// Ports and Files have lengths of their own: connections with such a port at one of their ends, and files
	// that are at that path now.
	Ports map[uint16]int
	Files map[string]int
	// Scope limits the box to some cgroups; nil is no limit.
	Scope *BoxScope
}

// BoxScope says where the box records. Of the cgroups above a process, with its own, the nearest one that is named decides.
type BoxScope struct {
	// Cgroups says whether what is done in a cgroup, and in all below it, is recorded, by the ids that CgroupFinder tells.
	Cgroups map[uint64]bool
	// Rest says whether everything else is.
	Rest bool
}

// The limits of what a box can tell apart.
const (
	MaxBoxPorts   = 16 // MAX_BOX_PORTS in bpf/box.h
	MaxBoxFiles   = 1024
	MaxBoxCgroups = 16384
)

// BoxSnaplens are numbers of bytes.
type BoxSnaplens struct{ File, Inet, Unix, Pipe, Other int }

// BlackBox is memory in the kernel that always has the newest events, with
// their data, of what was asked for. Nothing in user space runs for them until they are read. Its
// methods may be called from any goroutine; Close of the probe ends it.
type BlackBox struct {
	mu       sync.Mutex
	k        *kernelSide
	mem      []byte // all segments, as the kernel fills them
	segments []boxSegment
	since    uint64 // when it began
	clock    func() uint64
}

// boxSegment is a view of a struct box_segment, see bpf/box.h.
type boxSegment struct {
	cpu          uint16
	number, used *atomic.Uint64
	data         []byte
}

const (
	boxPerCPU   = 8 << 20
	segmentFull = 512 << 10 // SEGMENT_FULL in bpf/box.h
	minSegments = 2
)

// errBoxClosed says that a box ended with its probe.
var errBoxClosed = errors.New("the black box is closed")

// segments returns how many a CPU has.
func (o *BoxOptions) segments() int {
	switch {
	case o == nil:
		return 0
	case o.Size <= 0:
		return boxPerCPU / segmentFull
	}
	return max(minSegments, o.Size/segmentFull)
}

func openBox(k *kernelSide, o *BoxOptions, clock func() uint64) (*BlackBox, error) {
	b := &BlackBox{k: k, clock: clock}
	stride := int(unsafe.Sizeof(bpfBoxSegment{}))
	n := k.cpus * o.segments()
	var err error
	if b.mem, err = mapShared(k.objs.BoxSegments.FD(), n*stride); err != nil {
		return nil, err
	}
	for i := range n {
		s := (*bpfBoxSegment)(unsafe.Pointer(&b.mem[i*stride]))
		b.segments = append(b.segments, boxSegment{
			cpu: uint16(i / o.segments()), number: (*atomic.Uint64)(unsafe.Pointer(&s.Number)),
			used: (*atomic.Uint64)(unsafe.Pointer(&s.Used)), data: s.Data[:],
		})
	}
	if err := errors.Join(b.Cut(MaxSnaplen), b.SetLengths(o.Snaplens, o.Ports, o.Files), b.SetScope(o.Scope)); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.since = clock()
	return b, nil
}

// SetLengths replaces BoxOptions.Snaplens, Ports and Files, from the next call on. A file that cannot be found is an error,
// and all else holds.
func (b *BlackBox) SetLengths(s BoxSnaplens, byPort map[uint16]int, byFile map[string]int) error {
	limit := func(n int) uint32 { return uint32(max(0, min(n, MaxSnaplen))) }
	lens := [bpfBoxClassBOX_CLASSES]uint32{
		bpfBoxClassBOX_FILE: limit(s.File), bpfBoxClassBOX_INET: limit(s.Inet), bpfBoxClassBOX_UNIX: limit(s.Unix),
		bpfBoxClassBOX_PIPE: limit(s.Pipe), bpfBoxClassBOX_OTHER: limit(s.Other),
	}
	var ports [MaxBoxPorts]bpfBoxPort
	if len(byPort) > len(ports) {
		return fmt.Errorf("the black box can treat %d ports in their own way, not %d", len(ports), len(byPort))
	}
	i := 0
	for port, n := range byPort {
		ports[i] = bpfBoxPort{Port: uint32(port), Snaplen: limit(n)}
		i++
	}
	var errs []error
	files := map[bpfBoxFile]uint32{}
	for path, n := range byFile {
		key, err := boxFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("find %s for the black box: %w", path, err))
			continue
		}
		files[key] = limit(n)
	}
	hasFiles := uint8(0)
	if len(files) > 0 {
		hasFiles = 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem == nil {
		return errBoxClosed
	}
	o := &b.k.objs
	return errors.Join(append(errs, replaceEntries(o.BoxFiles, files), o.BoxSnaplens.Set(lens), o.BoxPorts.Set(ports), o.BoxHasFiles.Set(hasFiles))...)
}

// boxFile returns what the programs know the file at a path by.
func boxFile(path string) (f bpfBoxFile, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return f, err
	}
	return bpfBoxFile{Ino: st.Ino, Dev: unix.Minor(st.Dev)&0xff | unix.Major(st.Dev)<<8 | unix.Minor(st.Dev)&^0xff<<12}, nil
}

// Values of enum box_verdict in bpf/box.h.
const (
	boxRecorded = 1
	boxLeftOut  = 2
)

// SetScope replaces BoxOptions.Scope; nil is no limit. What the box has stays. What is in the scope before and after is recorded meanwhile.
func (b *BlackBox) SetScope(s *BoxScope) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem == nil {
		return errBoxClosed
	}
	o := &b.k.objs
	if s == nil {
		return o.BoxScoped.Set(uint8(0))
	}
	verdicts := map[uint64]uint8{}
	for id, in := range s.Cgroups {
		verdicts[id] = boxLeftOut
		if in {
			verdicts[id] = boxRecorded
		}
	}
	rest := uint8(0)
	if s.Rest {
		rest = 1
	}
	// First what is recorded newly, last what is not any more.
	for id, v := range verdicts {
		if err := o.BoxCgroups.Put(id, v); err != nil {
			return fmt.Errorf("record cgroup %d or leave it out: %w", id, err)
		}
	}
	err := errors.Join(o.BoxRest.Set(rest), o.BoxScoped.Set(uint8(1)), replaceEntries(o.BoxCgroups, verdicts))
	if err != nil {
		return fmt.Errorf("tell the kernel what the black box records: %w", err)
	}
	return nil
}

// Cut bounds how much data is kept of a call, whatever SetLengths says before or after it. The bound is MaxSnaplen at the beginning.
func (b *BlackBox) Cut(most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem == nil {
		return errBoxClosed
	}
	return b.k.objs.BoxMost.Set(uint32(max(0, min(most, MaxSnaplen))))
}

// Pause stops recording, or goes on, whatever SetScope says. What the box has stays, and it does not know of the time in between: to it,
// nothing happened then.
func (b *BlackBox) Pause(on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem == nil {
		return errBoxClosed
	}
	paused := uint8(0)
	if on {
		paused = 1
	}
	return b.k.objs.BoxPaused.Set(paused)
}

// Size returns the memory of the box in bytes, that of all CPUs together.
func (b *BlackBox) Size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.segments) * segmentFull
}

// Recording is what a black box had when it was read, in order of time.
type Recording struct {
	// Reaches is the time (ns since the epoch) from which on nothing is missing: what was before has been overwritten.
	Reaches uint64
	// Until is the time up to which it goes.
	Until uint64

	records []boxRecord
	beside  beside
	cpu     uint16
}

type boxRecord struct {
	time uint64
	data []byte
	cpu  uint16
}

// segmentCopy is what a segment had.
type segmentCopy struct {
	number uint64 // 0 if it was overwritten meanwhile
	cpu    uint16
	data   []byte
}

// Read returns what the box has from a time on (ns since the epoch). The box goes on meanwhile.
func (b *BlackBox) Read(from uint64) (*Recording, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem == nil {
		return nil, errBoxClosed
	}
	rec := &Recording{Reaches: max(from, b.since), Until: b.clock()}
	time.Sleep(time.Millisecond) // for what was begun by then
	oldest := map[uint16]segmentCopy{}
	for _, c := range b.copies() {
		if c.number == 0 {
			continue
		}
		if o, ok := oldest[c.cpu]; !ok || c.number < o.number {
			oldest[c.cpu] = c
		}
		rec.records = appendBoxRecords(rec.records, c, from, rec.Until)
	}
	for _, c := range oldest {
		if first := appendBoxRecords(nil, c, 0, math.MaxUint64); c.number > 1 && len(first) > 0 { // there was one before it
			rec.Reaches = max(rec.Reaches, first[0].time)
		}
	}
	slices.SortStableFunc(rec.records, func(a, b boxRecord) int { return cmp.Compare(a.time, b.time) })
	return rec, nil
}

// copies copies all segments that have something, the older ones first, as they are the first to be overwritten.
func (b *BlackBox) copies() []segmentCopy {
	type source struct {
		segmentCopy
		from *boxSegment
	}
	var sources []source
	for i := range b.segments {
		s := &b.segments[i]
		number := s.number.Load()
		if used := s.used.Load(); number != 0 && used != 0 {
			c := segmentCopy{number: number, cpu: s.cpu, data: make([]byte, min(used, uint64(len(s.data))))}
			sources = append(sources, source{c, s})
		}
	}
	slices.SortFunc(sources, func(a, b source) int { return cmp.Compare(a.number, b.number) })
	var out []segmentCopy
	for _, s := range sources {
		copy(s.data, s.from.data)
		if s.from.number.Load() != s.number {
			s.number = 0
		}
		out = append(out, s.segmentCopy)
	}
	return out
}

// appendBoxRecords appends the records of a segment from one time to another.
func appendBoxRecords(to []boxRecord, c segmentCopy, from, until uint64) []boxRecord {
	for data := c.data; len(data) >= 8; {
		n := binary.NativeEndian.Uint64(data)
		if n < event.HeaderSize || n > uint64(len(data)-8) {
			break
		}
		rec := data[8 : 8+n]
		if t := recordTime(rec); t >= from && t <= until {
			to = append(to, boxRecord{t, rec, c.cpu})
		}
		data = data[min(uint64(len(data)), 8+(n+7)&^7):]
	}
	return to
}

// Len returns how many events there are left.
func (r *Recording) Len() int { return len(r.records) }

// Next makes ev a view of the next event, which stays valid; io.EOF at the end. Broken records are left out.
func (r *Recording) Next(ev *event.Event) error {
	for {
		rec := r.beside.again()
		if rec == nil {
			if len(r.records) == 0 {
				return io.EOF
			}
			rec, r.cpu = r.records[0].data, r.records[0].cpu
			r.records = r.records[1:]
		}
		rec, tail, extra := splitRecord(rec)
		if ev.Reset(rec) != nil || r.beside.settle(ev, tail, extra) != nil {
			continue
		}
		ev.CPU, ev.Hidden = r.cpu, false
		return nil
	}
}

func (b *BlackBox) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem == nil {
		return nil
	}
	mem := b.mem
	b.mem, b.segments = nil, nil
	return unix.Munmap(mem)
}
