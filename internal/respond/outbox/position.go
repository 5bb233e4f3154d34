package outbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"rollcage/internal/respond/disk"
)

// position is how far an output is, kept in a slot of its own.
type position struct {
	slot *disk.Slot
	name string
	seq  uint64 // the first alert that the output lacks; under Box.mu

	// Where it is read from; of the goroutine that reads.
	segment *segment
	at      int64
	buf     []byte
}

const positionSuffix = ".position"

// positionPath returns where the position of an output is: names of outputs
// hold anything, so a hash of it names the file.
func positionPath(dir, name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(dir, hex.EncodeToString(sum[:8])+positionSuffix)
}

// lastPosition returns the highest number that any output noted, so that
// numbers go on after all segments are gone.
func lastPosition(dir string) (uint64, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+positionSuffix))
	if err != nil {
		return 0, err
	}
	var high uint64
	for _, path := range paths {
		s, err := disk.OpenSlot(path)
		if err != nil {
			return 0, err
		}
		if seq, ok := parsePosition(s.Value()); ok {
			high = max(high, seq)
		}
		s.Close() // only read from
	}
	return high, nil
}

// parsePosition reads the value of a slot: u64 number, then the output's name.
func parsePosition(v []byte) (seq uint64, ok bool) {
	if len(v) < 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(v), true
}

// attach returns the position of the output with that name, or of the name it had formerly.
// An output that is new begins with the next alert; one that was away for so long that alerts are
// deleted, with the oldest that is there.
func (b *Box) attach(name, formerly string) (*position, error) {
	slot, err := disk.OpenSlot(positionPath(b.dir, name))
	if err != nil {
		return nil, fmt.Errorf("outbox: position of output %s: %w", name, err)
	}
	p := &position{slot: slot, name: name}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errors.Join(ErrClosed, slot.Close())
	}
	seq, known := parsePosition(slot.Value())
	if !known && formerly != name {
		if v, err := slotValue(positionPath(b.dir, formerly)); err == nil {
			seq, known = parsePosition(v)
		}
	}
	if p.seq = min(seq, b.next); !known {
		p.seq = b.next
	}
	if err := p.note(p.seq); err != nil {
		return nil, errors.Join(fmt.Errorf("outbox: position of output %s: %w", name, err), slot.Close())
	}
	if err := errors.Join(slot.Sync(), disk.SyncDir(b.dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("outbox: position of output %s: %w", name, err), slot.Close())
	}
	b.readers[p] = struct{}{}
	return p, nil
}

// slotValue reads the slot at path, which must be there.
func slotValue(path string) ([]byte, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	s, err := disk.OpenSlot(path)
	if err != nil {
		return nil, err
	}
	return s.Value(), s.Close()
}

// forget deletes the positions of outputs that are not there any more, so that they do not
// begin in the past when they come back, and says what they will not get.
func (b *Box) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	here := map[string]bool{}
	for p := range b.readers {
		here[positionPath(b.dir, p.name)] = true
	}
	paths, _ := filepath.Glob(filepath.Join(b.dir, "*"+positionSuffix)) // the pattern is right
	for _, path := range paths {
		if here[path] {
			continue
		}
		v, err := slotValue(path)
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			b.opts.Log.Error("outbox: the position of an output that is gone cannot be deleted", "file", path, "error", err)
			continue
		}
		if seq, ok := parsePosition(v); ok && seq < b.next {
			b.opts.Log.Warn("outbox: an output is not configured any more; what waited for it is not sent", "output", string(v[8:]), "alerts", b.next-seq)
		}
	}
}

// note writes a position down.
func (p *position) note(seq uint64) error {
	v := binary.LittleEndian.AppendUint64(nil, seq)
	return p.slot.Write(append(v, p.name[:min(len(p.name), disk.SlotBytes-8)]...))
}

// advance says that an output has all alerts before seq.
func (b *Box) advance(p *position, seq uint64) error {
	b.mu.Lock()
	p.seq = seq
	b.forgetRead()
	if len(b.segments) > 1 && b.segments[0].last < seq {
		b.shrink()
	}
	b.mu.Unlock()
	return p.note(seq)
}

// detach ends the reading for an output, whose position stays.
func (b *Box) detach(p *position) error {
	b.leave(p)
	return p.close()
}

// leave says that there are fewer outputs now.
func (b *Box) leave(positions ...*position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range positions {
		delete(b.readers, p)
	}
}

// close gives up the slot.
func (p *position) close() error { return errors.Join(p.slot.Sync(), p.slot.Close()) }

// hold has the box keep what all outputs have, until it is released: there may be more outputs then.
func (b *Box) hold() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held--
	}
}

// hasRead reports whether what is before lowest is not needed any more. It is called with mu held.
func (b *Box) hasRead() bool { return len(b.readers) > 0 && b.held == 0 }

// waiting returns how many alerts an output lacks.
func (b *Box) waiting(p *position) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next - p.seq
}

// read returns the first alert with at least that number, in memory that is
// valid until the next call. If there is none, it returns a channel that is closed when there may be.
func (b *Box) read(p *position, seq uint64) (r record, news <-chan struct{}) {
	for {
		s, end, mem, wait := b.find(p, seq)
		if s == nil {
			return mem, wait
		}
		if p.segment != s {
			p.segment, p.at = s, segmentHead
		}
		for {
			var err error
			if r, p.at, p.buf, err = s.readAt(p.at, end, p.buf); err != nil {
				break
			}
			if r.seq >= seq {
				return r, nil
			}
		}
		// Nothing there although it should be: damaged, or the disk is. It is passed over.
		seq = b.after(s, seq)
		p.segment = nil
	}
}

// find returns the segment that has the alert, or the alert if it is in
// memory, or what to wait for.
func (b *Box) find(p *position, seq uint64) (s *segment, end int64, mem record, news <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.segments {
		if s.last >= seq {
			return s, s.end, record{}, nil
		}
	}
	for _, r := range b.memory {
		if r.seq >= seq {
			return nil, 0, r, nil
		}
	}
	return nil, 0, record{}, b.news
}

// after returns the number after the last one of a segment in which seq cannot be read.
func (b *Box) after(s *segment, seq uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.Damaged++
	return max(seq, s.last) + 1
}
