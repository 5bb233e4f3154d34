package probe

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The layout of a BPF ring buffer as user space maps it (Documentation/bpf/ringbuf.rst):
// a page with the consumer's position, a page with the producer's, then the data twice in
// a row, so that a record never wraps. A record has a header of 8 bytes: its
// length with two flags, and a word of the kernel's own.
const (
	ringHeader  = 8
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
)

// ring reads one BPF ring buffer. The records that it gives out are the
// kernel's memory; they stay until free.
type ring struct {
	m          *ebpf.Map
	cpu        uint16 // that writes it
	cons, prod []byte
	consumed   *atomic.Uint64
	produced   *atomic.Uint64
	data       []byte
	mask       uint64

	pos   uint64 // of the record that is next
	ready uint64 // up to where the records are known to be there
	freed uint64 // what the kernel knows as consumed
	// Publishing the position is a write that the kernel's side feels, so it is
	// done for this many bytes together.
	batch uint64
}

func openRing(m *ebpf.Map) (*ring, error) {
	size, page := int(m.MaxEntries()), os.Getpagesize()
	cons, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the position of a ring: %w", err)
	}
	prod, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Munmap(cons)
		return nil, fmt.Errorf("map a ring: %w", err)
	}
	r := &ring{
		m: m, cons: cons, prod: prod, data: prod[page:], mask: uint64(size - 1), batch: uint64(size / 64),
		consumed: (*atomic.Uint64)(unsafe.Pointer(&cons[0])),
		produced: (*atomic.Uint64)(unsafe.Pointer(&prod[0])),
	}
	r.pos = r.consumed.Load()
	r.ready, r.freed = r.pos, r.pos
	return r, nil
}

// next returns the next record, nil if there is none yet. It looks at the
// producer's position only when all known records are read.
func (r *ring) next() []byte {
	for {
		if r.pos == r.ready {
			if r.ready = r.produced.Load(); r.pos == r.ready {
				return nil
			}
		}
		at := r.pos & r.mask
		n := (*atomic.Uint32)(unsafe.Pointer(&r.data[at])).Load()
		if n&ringBusy != 0 {
			return nil
		}
		size := uint64(n &^ ringDiscard)
		r.pos += (ringHeader + size + 7) &^ 7
		if n&ringDiscard != 0 {
			continue
		}
		return r.data[at+ringHeader : at+ringHeader+size : at+ringHeader+size]
	}
}

// free gives all records that were read back to the kernel, now or soon.
func (r *ring) free() {
	if r.pos-r.freed >= r.batch {
		r.flush()
	}
}

// flush gives all records that were read back to the kernel.
func (r *ring) flush() {
	if r.pos != r.freed {
		r.freed = r.pos
		r.consumed.Store(r.pos)
	}
}

func (r *ring) close() error {
	err := unix.Munmap(r.prod)
	if e := unix.Munmap(r.cons); err == nil {
		err = e
	}
	return err
}

// recordTime is the time of an event in its layout.
func recordTime(rec []byte) uint64 { return binary.LittleEndian.Uint64(rec) }
