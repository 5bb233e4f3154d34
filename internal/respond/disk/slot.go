package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// Sizes of a slot file, in bytes: two sectors, of which each holds magic,
// length, counter, value and CRC-32C of all these.
const (
	sector   = 512
	slotHead = 16
	// SlotBytes is the longest value of a slot.
	SlotBytes = sector - slotHead - 4
)

const slotMagic = 0x54534352 // "RCST"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Slot is a small value in a file that is overwritten in place, alternately in
// two sectors, so that a write that is cut leaves the value before it. It needs
// no disk space after its creation, and may be used by many goroutines.
type Slot struct {
	mu      sync.Mutex
	file    *os.File
	counter uint64
	value   []byte
}

// OpenSlot opens the slot at path or makes one, for its owner alone, without a value.
func OpenSlot(path string) (*Slot, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	var b [2 * sector]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, fmt.Errorf("slot %s: %w", path, err)
	}
	if n < len(b) { // made now, or only half made: room for all later writes
		if _, err := f.WriteAt(b[n:], int64(n)); err != nil {
			f.Close()
			return nil, fmt.Errorf("slot %s: %w", path, err)
		}
	}
	s := &Slot{file: f}
	for i := range 2 {
		if counter, value, ok := parseSector(b[i*sector : (i+1)*sector]); ok && counter > s.counter {
			s.counter, s.value = counter, value
		}
	}
	return s, nil
}

func parseSector(b []byte) (counter uint64, value []byte, ok bool) {
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if binary.LittleEndian.Uint32(b) != slotMagic || n > SlotBytes {
		return 0, nil, false
	}
	body := b[:slotHead+n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[slotHead+n:]) {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b[8:]), append([]byte{}, body[slotHead:]...), true
}

// Value returns the last value that was written whole, nil if there is none.
func (s *Slot) Value() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// Write writes a value of at most SlotBytes. It outlasts the end of the
// process; Sync makes it outlast that of the machine.
func (s *Slot) Write(value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(value) > SlotBytes {
		return fmt.Errorf("slot %s: a value of %d bytes is too long", s.file.Name(), len(value))
	}
	var b [sector]byte
	counter := s.counter + 1
	binary.LittleEndian.PutUint32(b[:], slotMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(value)))
	binary.LittleEndian.PutUint64(b[8:], counter)
	n := slotHead + copy(b[slotHead:], value)
	binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli))
	if _, err := s.file.WriteAt(b[:], int64(counter%2)*sector); err != nil {
		return fmt.Errorf("slot %s: %w", s.file.Name(), err)
	}
	s.counter, s.value = counter, append(s.value[:0:0], value...)
	return nil
}

// Sync makes the value outlast a loss of power.
func (s *Slot) Sync() error { return s.file.Sync() }

// Close closes the file.
func (s *Slot) Close() error { return s.file.Close() }
