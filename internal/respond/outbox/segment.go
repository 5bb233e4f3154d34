package outbox

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/disk"
)

// The layout of segments, in bytes (docs/formats/outbox.md). All numbers are
// little-endian.
const (
	segmentMagic   = "RCOUTBX1"
	segmentHead    = 32 // magic, u64 run, u64 first number, u32 zero, u32 CRC-32C of the 28 bytes before
	recordHead     = 16 // u32 length of the payload, u32 CRC-32C of number and payload, u64 number
	maxPayload     = 1 << 20
	segmentSuffix  = ".segment"
	segmentPattern = "%020d" + segmentSuffix
)

var (
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
	errNotSegment = errors.New("not a segment of an outbox")
)

// record is an alert in the box.
type record struct {
	seq     uint64
	payload []byte // alert.AppendRecord
}

func recordSize(r record) int64 { return recordHead + int64(len(r.payload)) }

func appendRecord(b []byte, r record) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.payload)))
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, r.seq)
	b = append(b, r.payload...)
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

var errTorn = errors.New("torn record")

// parseRecord reads the record at the beginning of b, whose payload stays in b.
func parseRecord(b []byte) (record, error) {
	if len(b) < recordHead {
		return record{}, errTorn
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxPayload || uint64(len(b)) < recordHead+uint64(n) {
		return record{}, errTorn
	}
	r := record{binary.LittleEndian.Uint64(b[8:]), b[recordHead : recordHead+n]}
	if crc32.Checksum(b[8:recordHead+n], castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return r, errTorn
	}
	return r, nil
}

// segment is a file of records. Its file may be read while it is written to.
type segment struct {
	path   string
	file   *os.File
	run    uint64
	base   uint64 // the first number that it may hold
	last   uint64 // the last number that it holds, base-1 if it is empty
	end    int64  // where the next record goes
	sealed bool   // nothing more is written
	buf    []byte
}

// createSegment makes a segment and, where the file system can, reserves room
// for all of it: a disk that gets full in the meantime then does not matter.
func createSegment(dir string, run, base uint64, size int64) (*segment, error) {
	path := filepath.Join(dir, fmt.Sprintf(segmentPattern, base))
	// A file of that name is one in which nothing could be written.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, file: f, run: run, base: base, last: base - 1, end: segmentHead}
	unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	head := append(make([]byte, 0, segmentHead), segmentMagic...)
	head = binary.LittleEndian.AppendUint64(head, run)
	head = binary.LittleEndian.AppendUint64(head, base)
	head = binary.LittleEndian.AppendUint32(head, 0)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	if _, err = f.WriteAt(head, 0); err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		f.Close()
		os.Remove(path) // as far as it can be done
		return nil, err
	}
	return s, nil
}

// append writes a record. When only a part could be written it is taken back.
func (s *segment) append(r record) error {
	s.buf = appendRecord(s.buf[:0], r)
	if _, err := s.file.WriteAt(s.buf, s.end); err != nil {
		if terr := s.file.Truncate(s.end); terr != nil {
			s.sealed = true // a reader stops at the torn record, so nothing may follow it
		}
		return err
	}
	s.end += int64(len(s.buf))
	s.last = r.seq
	return nil
}

// openSegment reads a segment of an earlier run. In the last one the torn end
// of a crash is cut; everywhere else what is not a record was damaged later,
// and the number of alerts that are gone is returned.
func openSegment(path string, last bool) (s *segment, damaged uint64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read %s: %w", path, err)
	}
	s = &segment{path: path, file: f, sealed: true}
	if s.run, s.base, err = parseHead(data); err != nil {
		f.Close()
		return nil, 0, err
	}
	s.last = s.base - 1
	s.end = segmentHead
	at := segmentHead
	for at < len(data) {
		r, err := parseRecord(data[at:])
		if err != nil {
			next := skipDamaged(data, at, s.last)
			if next == 0 {
				break
			}
			at = next
			continue
		}
		damaged += r.seq - s.last - 1
		s.last = r.seq
		at += int(recordSize(r))
		s.end = int64(at)
	}
	if rest := len(data) - int(s.end); rest > 0 {
		if !last {
			damaged++ // at least
		} else if err := f.Truncate(s.end); err != nil {
			f.Close()
			return nil, 0, fmt.Errorf("cut the torn end of %s: %w", path, err)
		}
	}
	return s, damaged, nil
}

func parseHead(b []byte) (run, base uint64, err error) {
	if len(b) < segmentHead || string(b[:8]) != segmentMagic ||
		crc32.Checksum(b[:segmentHead-4], castagnoli) != binary.LittleEndian.Uint32(b[segmentHead-4:]) {
		return 0, 0, errNotSegment
	}
	return binary.LittleEndian.Uint64(b[8:]), max(1, binary.LittleEndian.Uint64(b[16:])), nil
}

// skipDamaged returns where the record after a damaged one begins, 0 if there
// is none: the length is believed if a whole later record stands behind it.
func skipDamaged(data []byte, at int, last uint64) int {
	if len(data)-at < recordHead {
		return 0
	}
	n := binary.LittleEndian.Uint32(data[at:])
	if n == 0 || n > maxPayload || uint64(len(data)-at) < recordHead+uint64(n) {
		return 0
	}
	next := at + recordHead + int(n)
	if r, err := parseRecord(data[next:]); err != nil || r.seq <= last || r.seq-last > 1<<20 {
		return 0
	}
	return next
}

// readAt returns the first record at or after an offset, in memory of the
// caller's, and where the next one is. io.EOF is the end of what is there.
func (s *segment) readAt(at, end int64, buf []byte) (_ record, next int64, _ []byte, err error) {
	for at+recordHead <= end {
		buf = grow(buf, recordHead)
		if _, err := s.file.ReadAt(buf, at); err != nil {
			return record{}, at, buf, err
		}
		n := int64(binary.LittleEndian.Uint32(buf))
		if n == 0 || n > maxPayload || at+recordHead+n > end {
			break
		}
		buf = grow(buf, int(recordHead+n))
		if _, err := s.file.ReadAt(buf, at); err != nil {
			return record{}, at, buf, err
		}
		at += recordHead + n
		if r, err := parseRecord(buf); err == nil {
			return r, at, buf, nil
		}
	}
	return record{}, end, buf, io.EOF
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// alertID returns the ID of an alert: a UUID of version 8 made of the 60 bits
// of the run and the number. A run is one opening of a box, so no two alerts
// share an ID, also when the second of them takes the number of one that was torn off.
func alertID(run, seq uint64) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], run>>12<<16|8<<12|run&0xfff)
	binary.BigEndian.PutUint64(id[8:], seq&(1<<62-1)|1<<63)
	b := make([]byte, 36)
	hex.Encode(b, id[:4])
	hex.Encode(b[9:], id[4:6])
	hex.Encode(b[14:], id[6:8])
	hex.Encode(b[19:], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b)
}
