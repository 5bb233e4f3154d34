// Package outbox keeps alerts on disk until every output has them.
//
// A [Box] is a log in a folder: segments of records, appended to at the end and
// deleted at the beginning. A [Delivery] reads it for each output from where
// that output is, tries again until the output takes an alert, and notes how
// far it is; after a restart it goes on there. So every alert reaches each
// output at least once and in order, and outputs do not wait for each other. An
// alert can reach an output twice when Rollcage ends between the output's
// answer and the note; it then has the same ID both times.
//
// The format and what can be relied on are in docs/formats/outbox.md.
package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/disk"
)

// Options change how alerts are kept. The zero value is good.
type Options struct {
	// MaxBytes is how large all segments may be together, 256 MiB if 0. When
	// there are more, the oldest segment goes, read or not.
	MaxBytes int64
	// SegmentBytes is how large a segment may be, 4 MiB if 0.
	SegmentBytes int64
	// SyncEvery is how long an alert may be in the kernel only, 100 ms if 0.
	// It outlasts the end of the process at once and a loss of power after that
	// time. If negative, Put returns only when the alert is on the disk.
	SyncEvery time.Duration
	// MaxMemory is how many alerts wait in memory while the disk takes none, 4096 if 0.
	MaxMemory int
	// Log is told of damage and loss, slog.Default() if nil.
	Log *slog.Logger
}

// The errors of Put.
var (
	// ErrNotKept says that the disk did not take the alert: it is in memory,
	// goes to the outputs, and is lost if the process ends before they have it.
	ErrNotKept = errors.New("the alert is in memory only")
	// ErrLost says that there was no room in memory either.
	ErrLost = errors.New("the alert is lost")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the outbox is closed")
)

// Box is a log of alerts in a folder that one process has open at a time. Its
// methods may be called by many goroutines.
type Box struct {
	dir  string
	opts Options
	lock *os.File
	run  uint64 // chance, a part of the IDs

	mu       sync.Mutex
	next     uint64     // number of the next alert
	segments []*segment // oldest first; the last one is written to if it is of this run
	memory   []record   // what the disk did not take, later than all segments
	buf      []byte
	news     chan struct{} // closed when there is something new
	readers  map[*position]struct{}
	held     int // outputs are being attached
	closed   bool
	stats    Stats

	syncMu sync.Mutex
	synced uint64 // all alerts before this number are on the disk
	timer  *time.Timer
}

// Stats counts what a box went through since it was opened.
type Stats struct {
	Kept    uint64 // on disk
	Memory  uint64 // that the disk did not take at first
	Lost    uint64 // for which there was no room in memory
	Damaged uint64 // that could not be read any more
	Dropped uint64 // whole segments that were deleted unread because of MaxBytes
	Bytes   int64  // size of the segments now
}

// Open opens the box in a folder, which is made if it is missing. What a crash
// tore off is cut, and damage is said.
func Open(dir string, opts Options) (*Box, error) {
	setDefault(&opts.MaxBytes, 256<<20)
	setDefault(&opts.SegmentBytes, 4<<20)
	setDefault(&opts.SyncEvery, 100*time.Millisecond)
	setDefault(&opts.MaxMemory, 4096)
	setDefault(&opts.Log, slog.Default())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	lock, err := disk.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("outbox %s: %w", dir, err)
	}
	var chance [8]byte
	rand.Read(chance[:]) // never fails
	b := &Box{
		dir: dir, opts: opts, lock: lock, run: binary.LittleEndian.Uint64(chance[:]) >> 4, next: 1,
		news: make(chan struct{}), readers: map[*position]struct{}{},
	}
	if err := b.recover(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("outbox %s: %w", dir, err)
	}
	return b, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// recover reads what is there and finds the number of the next alert.
func (b *Box) recover() error {
	paths, err := filepath.Glob(filepath.Join(b.dir, "*"+segmentSuffix))
	if err != nil {
		return err
	}
	for i, path := range paths { // sorted, as the names have all the same length
		s, damaged, err := openSegment(path, i == len(paths)-1)
		if errors.Is(err, errNotSegment) {
			// The header is written first, so only a crash right then leaves this.
			if err := os.Rename(path, path+".bad"); err != nil {
				return err
			}
			b.opts.Log.Error("outbox: a segment has no valid header; it is left aside", "file", path+".bad")
			continue
		}
		if err != nil {
			return err
		}
		if damaged > 0 {
			b.stats.Damaged += damaged
			b.opts.Log.Error("outbox: alerts cannot be read any more", "file", path, "alerts", damaged)
		}
		b.next = max(b.next, s.last+1)
		if s.last+1 == s.base {
			// A crash came between its header and its first alert. The next segment will have
			// its name, so it must not be there twice.
			if err := errors.Join(s.file.Close(), os.Remove(path)); err != nil {
				return err
			}
			continue
		}
		b.segments = append(b.segments, s)
	}
	noted, err := lastPosition(b.dir)
	b.next = max(b.next, noted)
	b.synced = b.next
	return err
}

// Put keeps an alert, gives it an ID if it has none, and tells the outputs. When Put returns
// nil the alert is acknowledged: it outlasts the end of the process, and as
// Options.SyncEvery says that of the machine. Otherwise the error is
// ErrNotKept or ErrLost with the reason, or ErrClosed.
func (b *Box) Put(a *alert.Alert) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	r := record{seq: b.next}
	if a.ID == "" {
		a.ID = alertID(b.run, r.seq)
	}
	b.buf = alert.AppendRecord(b.buf[:0], a)
	if len(b.buf) > maxPayload && a.Shorten(maxPayload/2) {
		b.opts.Log.Warn("outbox: an alert is cut, as it is too long", "rule", a.Rule, "bytes", len(b.buf))
		b.buf = alert.AppendRecord(b.buf[:0], a)
	}
	if len(b.buf) > maxPayload {
		b.stats.Lost++
		b.mu.Unlock()
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrLost, len(b.buf), maxPayload)
	}
	r.payload = b.buf
	err := b.flushMemory()
	if err == nil {
		err = b.write(r)
	}
	if err != nil {
		err = b.remember(r, err)
		b.mu.Unlock()
		return err
	}
	b.accept()
	b.mu.Unlock()
	if b.opts.SyncEvery < 0 {
		if err := b.sync(r.seq); err != nil {
			return fmt.Errorf("%w if the machine stops now: %w", ErrNotKept, err)
		}
	}
	return nil
}

// accept is called with mu held, when alert number next is in the box.
func (b *Box) accept() {
	b.next++
	close(b.news)
	b.news = make(chan struct{})
}

// remember keeps in memory what the disk did not take. It is called with mu held.
func (b *Box) remember(r record, reason error) error {
	if len(b.memory) >= b.opts.MaxMemory {
		b.stats.Lost++
		return fmt.Errorf("%w, as %d others wait in memory already: %w", ErrLost, len(b.memory), reason)
	}
	r.payload = append([]byte(nil), r.payload...)
	b.memory = append(b.memory, r)
	b.stats.Memory++
	b.accept()
	b.later()
	return fmt.Errorf("%w: %w", ErrNotKept, reason)
}

// flushMemory writes what waits in memory to the disk, except what all outputs
// have. It is called with mu held.
func (b *Box) flushMemory() error {
	b.forgetRead()
	for len(b.memory) > 0 {
		if err := b.write(b.memory[0]); err != nil {
			return err
		}
		b.memory = b.memory[1:]
	}
	b.memory = nil
	return nil
}

func (b *Box) forgetRead() {
	if !b.hasRead() {
		return
	}
	for low := b.lowest(); len(b.memory) > 0 && b.memory[0].seq < low; {
		b.memory = b.memory[1:]
	}
}

// lowest returns the number of the first alert that an output lacks, next if
// none does. It is called with mu held.
func (b *Box) lowest() uint64 {
	low := b.next
	for p := range b.readers {
		low = min(low, p.seq)
	}
	return low
}

// write appends a record to the last segment, or to a new one. It is called with mu held.
func (b *Box) write(r record) error {
	s := b.current()
	if s == nil || s.end+recordSize(r) > b.opts.SegmentBytes && s.end > segmentHead {
		var err error
		if s, err = b.roll(r.seq); err != nil {
			return err
		}
	}
	if err := s.append(r); err != nil {
		return err
	}
	b.stats.Kept++
	b.later()
	return nil
}

// current returns the segment that is written to, nil if there is none. A
// segment of an earlier run is not written to, so that no two alerts share an ID.
func (b *Box) current() *segment {
	if len(b.segments) == 0 {
		return nil
	}
	if s := b.segments[len(b.segments)-1]; s.run == b.run && !s.sealed {
		return s
	}
	return nil
}

// roll begins a segment and deletes what is read or too much.
func (b *Box) roll(base uint64) (*segment, error) {
	if s := b.current(); s != nil {
		if err := s.file.Sync(); err != nil {
			return nil, err
		}
		s.sealed = true
	}
	s, err := createSegment(b.dir, b.run, base, b.opts.SegmentBytes)
	if err != nil {
		return nil, err
	}
	b.segments = append(b.segments, s)
	b.shrink()
	return s, nil
}

// shrink deletes segments that all outputs have, and the oldest ones while all
// together are too large. The last segment stays. It is called with mu held.
func (b *Box) shrink() {
	low := b.lowest()
	for len(b.segments) > 1 {
		s := b.segments[0]
		read := s.last < low && b.hasRead()
		if !read && b.bytes() <= b.opts.MaxBytes {
			return
		}
		if !read {
			b.stats.Dropped++
			b.opts.Log.Error("outbox: full; the oldest alerts are deleted though an output lacks them",
				"alerts", s.last-s.base+1, "max_bytes", b.opts.MaxBytes)
		}
		if err := os.Remove(s.path); err != nil {
			b.opts.Log.Error("outbox: a segment cannot be deleted", "error", err)
		}
		// Its file is closed when nobody reads it any more, by the garbage collector.
		b.segments = b.segments[1:]
	}
}

func (b *Box) bytes() (n int64) {
	for _, s := range b.segments {
		n += s.end
	}
	return n
}

// later sees to it that what was written is synced in time, and what is in
// memory is written when the disk takes it. It is called with mu held.
func (b *Box) later() {
	if b.timer != nil || b.closed {
		return
	}
	wait := b.opts.SyncEvery
	if wait < 0 {
		if len(b.memory) == 0 {
			return
		}
		wait = 100 * time.Millisecond
	}
	b.timer = time.AfterFunc(wait, func() {
		b.mu.Lock()
		b.timer = nil
		if b.closed {
			b.mu.Unlock()
			return
		}
		if len(b.memory) > 0 && b.flushMemory() != nil {
			b.later()
		}
		last := b.next - 1
		b.mu.Unlock()
		if err := b.sync(last); err != nil {
			b.opts.Log.Error("outbox: alerts may be lost if the machine stops now", "error", err)
		}
	})
}

// sync brings all alerts up to a number to the disk. Those who wait for it
// together are served by one call.
func (b *Box) sync(seq uint64) error {
	b.syncMu.Lock()
	defer b.syncMu.Unlock()
	if b.synced > seq {
		return nil
	}
	b.mu.Lock()
	s, next, closed := b.current(), b.next-uint64(len(b.memory)), b.closed
	b.mu.Unlock()
	if s == nil || closed {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	b.synced = next
	return nil
}

// Stats returns the counters.
func (b *Box) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Bytes = b.bytes()
	return s
}

// Close brings everything to the disk and closes the box. Deliveries from it
// must be closed before. The error says how many alerts are in memory only, and so lost.
func (b *Box) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	err := b.flushMemory()
	if n := len(b.memory); n > 0 {
		err = fmt.Errorf("outbox: %d alerts are lost: %w", n, err)
	}
	last := b.next - 1
	b.mu.Unlock()
	err = errors.Join(err, b.sync(last))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	for _, s := range b.segments {
		s.file.Close() // synced, or only read from
	}
	return errors.Join(err, disk.SyncDir(b.dir), b.lock.Close())
}
