package probe

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -no-global-types iter bpf/iter.bpf.c -- -Wall -O2

// iterators are the loaded BPF iterators that a snapshot is read from.
type iterators struct {
	collection  *ebpf.Collection
	threads     *ebpf.Program
	descriptors *ebpf.Program
}

// loadIterators loads the iterators. Reading arguments and environment of a
// task takes a program that may sleep, which kernels have since 5.18; older
// ones get the iterator that leaves them to /proc.
func loadIterators(bootTime uint64) (*iterators, error) {
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11 count maps as locked memory
		return nil, fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	it, err := loadIteratorsWith("threads_with_memory", bootTime)
	if err == nil || errors.Is(err, ebpf.ErrNotSupported) {
		return it, err
	}
	older, err2 := loadIteratorsWith("threads", bootTime)
	if err2 != nil {
		return nil, fmt.Errorf("load the iterators: %w", errors.Join(err, err2))
	}
	return older, nil
}

func loadIteratorsWith(threads string, bootTime uint64) (*iterators, error) {
	spec, err := loadIter()
	if err != nil {
		return nil, err
	}
	const descriptors = "descriptors"
	for name := range spec.Programs {
		if name != threads && name != descriptors {
			delete(spec.Programs, name)
		}
	}
	dropUnusedMaps(spec)
	if err := spec.Variables["boot_epoch"].Set(bootTime); err != nil {
		return nil, err
	}
	c, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, err
	}
	return &iterators{c, c.Programs[threads], c.Programs[descriptors]}, nil
}

// dropUnusedMaps removes the maps that no program refers to: those of the
// headers that the iterators share with the probe.
func dropUnusedMaps(spec *ebpf.CollectionSpec) {
	used := map[string]bool{}
	for _, p := range spec.Programs {
		for name := range p.Instructions.ReferenceOffsets() {
			used[name] = true
		}
	}
	for name := range spec.Maps {
		if !used[name] {
			delete(spec.Maps, name)
		}
	}
	for name, v := range spec.Variables {
		if !used[v.SectionName] {
			delete(spec.Variables, name)
		}
	}
}

func (it *iterators) close() { it.collection.Close() }

// readIterator runs an iterator over everything and gives each record to take.
func readIterator(p *ebpf.Program, take func(record []byte) error) error {
	l, err := link.AttachIter(link.IterOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach the iterator: %w", err)
	}
	defer l.Close()
	r, err := l.Open()
	if err != nil {
		return fmt.Errorf("open the iterator: %w", err)
	}
	defer r.Close()
	return eachRecord(r, take)
}

// eachRecord cuts what it reads into records. They are valid during take only.
func eachRecord(r io.Reader, take func(record []byte) error) error {
	buf, n := make([]byte, 64<<10), 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		used := 0
		for {
			size, ok := recordSize(buf[used:n])
			if !ok || size > n-used {
				break
			}
			if err := take(buf[used : used+size]); err != nil {
				return err
			}
			used += size
		}
		n = copy(buf, buf[used:n])
		switch {
		case err == io.EOF && n == 0:
			return nil
		case err == io.EOF:
			return fmt.Errorf("the iterator ends within a record, with %d bytes of it", n)
		case err != nil:
			return fmt.Errorf("read the iterator: %w", err)
		case n == len(buf):
			return fmt.Errorf("the iterator has a record of more than %d bytes", n)
		}
	}
}

// scanIterators reads all threads and descriptors with the iterators and
// completes them from /proc. Descriptors come first: see included.
func scanIterators(it *iterators, r *procfs.Reader, o *snapshotOptions, in *included) ([]*event.ThreadInfo, error) {
	begin := o.now()
	fds := fdScan{processes: map[int64]*scannedFDs{}}
	if err := readIterator(it.descriptors, fds.take); err != nil {
		return nil, err
	}
	fds.orient()
	var records []threadRecord
	err := readIterator(it.threads, func(record []byte) error {
		t, err := fds.decodeThread(record)
		records = append(records, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return assemble(records, fds.processes, begin, r, o, in)
}

// assemble joins the records of the two passes and reads what they lack:
// processes that were born meanwhile, and those that a kernel hides from BPF.
func assemble(records []threadRecord, fds map[int64]*scannedFDs, begin uint64, r *procfs.Reader, o *snapshotOptions,
	in *included) ([]*event.ThreadInfo, error) {
	leaders := make(map[int64]*event.ThreadInfo, len(records))
	known := make(map[int64]bool, len(records))
	for i := range records {
		t := &records[i]
		pid := t.info.PID
		p, seen := fds[pid]
		// A process born behind the back of the first pass is left to /proc:
		// that pass tells nothing of its descriptors.
		if t.info.TID != pid || !seen && t.info.StartTime >= begin {
			continue
		}
		if seen {
			t.info.FDs = p.list
			in.addFDs(pid, p.at)
		} else {
			in.addFDs(pid, begin)
		}
		if !t.whole {
			r.Program(t.info)
		}
		leaders[pid], known[pid] = t.info, true
	}
	all := make([]*event.ThreadInfo, 0, len(records))
	for i := range records {
		t := &records[i]
		leader := leaders[t.info.PID]
		if leader == nil {
			continue
		}
		if t.info != leader {
			t.info.Exe, t.info.Args = leader.Exe, leader.Args
		}
		in.addThread(t.info, t.at)
		all = append(all, t.info)
	}
	others, err := readOthers(r, known, o, in)
	return append(all, others...), err
}
