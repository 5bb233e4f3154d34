package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// BoxOptions say what the black box keeps.
type BoxOptions struct {
	// Size is the memory of each CPU in bytes, rounded down to a power of two; 0 means 8 MiB. It is locked in memory.
	Size int
	// Interest is what is kept beside what the state of the host needs.
	Interest event.Interest
	// Snaplens is how many bytes of data are kept, by what a descriptor is, up to MaxSnaplen.
	Snaplens BoxSnaplens
	// Ports and Files have lengths of their own: connections with such a port at one of their ends, and files
	// that are at that path now.
	Ports map[uint16]int
	Files map[string]int
	// Cgroups limits the box to what is done in these cgroups and all below them, by their ids (inodes) in the
	// hierarchy of version 2. nil is no limit.
	Cgroups []uint64
}

// BoxSnaplens are numbers of bytes.
type BoxSnaplens struct{ File, Inet, Unix, Pipe, Other int }

// BlackBox is memory in the kernel that always has the newest events, with
// their data, of what was asked for. Nothing in user space runs for them until they are read. Its
// methods may be called from any goroutine; Close of the probe ends it.
type BlackBox struct {
	mu    sync.Mutex
	k     *kernelSide
	rings []*boxRing
	since uint64 // when it began
	clock func() uint64
}

// boxRing is the memory of one CPU: a perf event that is written backwards, from its end to its beginning and
// round (perf_event_open(2), write_backward).
type boxRing struct {
	cpu  uint16
	fd   int
	mem  []byte
	size uint64
}

const (
	boxPerCPU = 8 << 20
	boxMin    = 64 << 10
	perfHead  = 1024 // offset of data_head in struct perf_event_mmap_page
	perfRaw   = 12   // header of a record with PERF_SAMPLE_RAW: struct perf_event_header, u32 length
)

// errBoxClosed says that a box ended with its probe.
var errBoxClosed = errors.New("the black box is closed")

func openBox(k *kernelSide, o *BoxOptions, clock func() uint64) (*BlackBox, error) {
	b := &BlackBox{k: k, clock: clock}
	size := boxMin
	want := o.Size
	if want <= 0 {
		want = boxPerCPU
	}
	for size*2 <= want {
		size *= 2
	}
	for cpu := range k.cpus {
		r, err := openBoxRing(cpu, size)
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		if r == nil {
			continue // offline: what it does is not kept
		}
		b.rings = append(b.rings, r)
		if err := k.objs.Box.Put(uint32(cpu), uint32(r.fd)); err != nil {
			return nil, errors.Join(fmt.Errorf("give CPU %d its part of the black box: %w", cpu, err), b.close())
		}
	}
	if err := errors.Join(b.setLengths(o), b.SetScope(o.Cgroups)); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.since = clock()
	return b, nil
}

func openBoxRing(cpu, size int) (*boxRing, error) {
	attr := &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_BPF_OUTPUT, Sample_type: unix.PERF_SAMPLE_RAW,
		Bits: unix.PerfBitWriteBackward | unix.PerfBitWatermark, Wakeup: 1 << 31,
	}
	attr.Size = uint32(unsafe.Sizeof(*attr))
	fd, err := unix.PerfEventOpen(attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the black box of CPU %d: %w", cpu, explain(err))
	}
	mem, err := unix.Mmap(fd, 0, os.Getpagesize()+size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %d bytes of the black box of CPU %d: %w", size, cpu, err), unix.Close(fd))
	}
	return &boxRing{cpu: uint16(cpu), fd: fd, mem: mem, size: uint64(size)}, nil
}

func (b *BlackBox) setLengths(o *BoxOptions) error {
	limit := func(n int) uint32 { return uint32(max(0, min(n, MaxSnaplen))) }
	s := o.Snaplens
	lens := [bpfBoxClassBOX_CLASSES]uint32{
		bpfBoxClassBOX_FILE: limit(s.File), bpfBoxClassBOX_INET: limit(s.Inet), bpfBoxClassBOX_UNIX: limit(s.Unix),
		bpfBoxClassBOX_PIPE: limit(s.Pipe), bpfBoxClassBOX_OTHER: limit(s.Other),
	}
	var ports [16]bpfBoxPort // MAX_BOX_PORTS in bpf/box.h
	if len(o.Ports) > len(ports) {
		return fmt.Errorf("the black box can treat %d ports in their own way, not %d", len(ports), len(o.Ports))
	}
	i := 0
	for port, n := range o.Ports {
		ports[i] = bpfBoxPort{Port: uint32(port), Snaplen: limit(n)}
		i++
	}
	for path, n := range o.Files {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return fmt.Errorf("find %s for the black box: %w", path, err)
		}
		dev := unix.Minor(st.Dev)&0xff | unix.Major(st.Dev)<<8 | unix.Minor(st.Dev)&^0xff<<12
		if err := b.k.objs.BoxFiles.Put(&bpfBoxFile{Ino: st.Ino, Dev: dev}, limit(n)); err != nil {
			return fmt.Errorf("choose %s for the black box: %w", path, err)
		}
	}
	hasFiles := uint8(0)
	if len(o.Files) > 0 {
		hasFiles = 1
	}
	return errors.Join(b.k.objs.BoxSnaplens.Set(lens), b.k.objs.BoxPorts.Set(ports), b.k.objs.BoxHasFiles.Set(hasFiles))
}

// SetScope limits the box to cgroups, see BoxOptions.Cgroups. What it has stays.
func (b *BlackBox) SetScope(cgroups []uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var gone []uint64
	var id uint64
	var one uint8
	for it := b.k.objs.BoxCgroups.Iterate(); it.Next(&id, &one); {
		if !slices.Contains(cgroups, id) {
			gone = append(gone, id)
		}
	}
	for _, id := range cgroups {
		if err := b.k.objs.BoxCgroups.Put(id, uint8(1)); err != nil {
			return fmt.Errorf("record cgroup %d: %w", id, err)
		}
	}
	for _, id := range gone {
		if err := b.k.objs.BoxCgroups.Delete(id); err != nil {
			return fmt.Errorf("record cgroup %d no more: %w", id, err)
		}
	}
	scoped := uint8(0)
	if cgroups != nil {
		scoped = 1
	}
	return b.k.objs.BoxScoped.Set(scoped)
}

// Recording is what a black box had when it was read, in order of time.
type Recording struct {
	// Reaches is the time (ns since the epoch) from which on nothing is missing: what was before has been overwritten.
	Reaches uint64
	// Until is the time up to which it goes.
	Until uint64
	// Lost counts the events since the box began that it could not take, mostly as it was being read.
	Lost uint64

	records []boxRecord
	beside  beside
	cpu     uint16
}

type boxRecord struct {
	time uint64
	data []byte
	cpu  uint16
}

// Read returns what the box has from a time on (ns since the epoch). While it
// copies, a millisecond or so for each 8 MiB, the box takes nothing.
func (b *BlackBox) Read(from uint64) (*Recording, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings == nil {
		return nil, errBoxClosed
	}
	rec := &Recording{Reaches: max(from, b.since)}
	copies, heads, err := b.freeze()
	if err != nil {
		return nil, err
	}
	rec.Until = b.clock()
	for i, mem := range copies {
		var oldest uint64
		rec.records, oldest = appendBoxRecords(rec.records, mem, heads[i], b.rings[i].cpu, from)
		if -heads[i] > uint64(len(mem)) { // it has gone round
			rec.Reaches = max(rec.Reaches, oldest)
		}
	}
	slices.SortStableFunc(rec.records, func(a, b boxRecord) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return 0
	})
	return rec, b.k.objs.BoxLost.Get(&rec.Lost)
}

// freeze copies the memory of all CPUs while none is written.
func (b *BlackBox) freeze() (copies [][]byte, heads []uint64, err error) {
	for _, r := range b.rings {
		copies = append(copies, make([]byte, r.size)) // before anything stops
	}
	pause := func(on int) error {
		var errs []error
		for _, r := range b.rings {
			errs = append(errs, unix.IoctlSetInt(r.fd, unix.PERF_EVENT_IOC_PAUSE_OUTPUT, on))
		}
		return errors.Join(errs...)
	}
	if err := pause(1); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("freeze the black box: %w", err), pause(0))
	}
	for i, r := range b.rings {
		heads = append(heads, (*atomic.Uint64)(unsafe.Pointer(&r.mem[perfHead])).Load())
		copy(copies[i], r.mem[os.Getpagesize():])
	}
	if err := pause(0); err != nil {
		return nil, nil, fmt.Errorf("go on with the black box: %w", err)
	}
	return copies, heads, nil
}

// appendBoxRecords appends the records of one CPU that are not older than from; oldest is the time of its oldest one.
// The newest is at head; each older one follows it, as the ring is written backwards.
func appendBoxRecords(to []boxRecord, mem []byte, head uint64, cpu uint16, from uint64) (_ []boxRecord, oldest uint64) {
	size := uint64(len(mem))
	end := head + min(size, -head)
	buf := slices.Concat(mem, mem[:min(size, 1<<16)]) // so that a record that goes over the end is in one piece
	first := len(to)
	for pos := head; end-pos >= perfRaw && end-pos <= size; {
		at := pos & (size - 1)
		typ, n := binary.NativeEndian.Uint32(buf[at:]), uint64(binary.NativeEndian.Uint16(buf[at+6:]))
		if n < perfRaw || n > end-pos {
			break // the rest of it is overwritten
		}
		raw := uint64(binary.NativeEndian.Uint32(buf[at+8:]))
		if typ == unix.PERF_RECORD_SAMPLE && raw <= n-perfRaw && raw >= event.HeaderSize {
			data := buf[at+perfRaw : at+perfRaw+raw]
			t := recordTime(data)
			if oldest == 0 || t < oldest {
				oldest = t
			}
			if t >= from {
				to = append(to, boxRecord{t, data, cpu})
			}
		}
		pos += n
	}
	slices.Reverse(to[first:])
	return to, oldest
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
	var errs []error
	for _, r := range b.rings {
		errs = append(errs, unix.Munmap(r.mem), unix.Close(r.fd))
	}
	b.rings = nil
	return errors.Join(errs...)
}
