package evidence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A chain is a file of records, one JSON object a line, in which each line
// begins with a hash of itself and of the line before (docs/formats/evidence.md).
// Only whole lines count: a crash can leave a part of one at the end.

// Record is an entry of a chain.
type Record struct {
	Seq  uint64          `json:"seq"` // from 1
	Time time.Time       `json:"time"`
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`
}

// digest is a SHA-256.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

func parseDigest(s string) (d digest, err error) {
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("%q is not a SHA-256 in hexadecimal", s)
	}
	_, err = hex.Decode(d[:], []byte(s))
	return d, err
}

// seed is what stands for the line before the first one: it binds a chain to
// what it is about, so that no other can take its place.
func seed(name string) digest { return sha256.Sum256([]byte("rollcage evidence 1\n" + name)) }

const (
	lineHead  = `{"hash":"`
	lineSep   = `",`
	restStart = len(lineHead) + 2*sha256.Size + len(lineSep)
	maxLine   = 4 << 20
)

// link returns the hash of a line after prev. rest is what follows the hash.
func link(prev digest, rest []byte) (d digest) {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(rest)
	return digest(h.Sum(d[:0]))
}

// appendLine appends a record as a line and returns its hash.
func appendLine(b []byte, prev digest, r *Record) ([]byte, digest, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return b, prev, err
	}
	if len(body)+restStart > maxLine {
		return b, prev, fmt.Errorf("%w: it has %d bytes, more than %d", ErrTooLong, len(body), maxLine-restStart)
	}
	rest := body[1:]
	d := link(prev, rest)
	b = append(b, lineHead...)
	b = hex.AppendEncode(b, d[:])
	b = append(append(b, lineSep...), rest...)
	return append(b, '\n'), d, nil
}

// splitLine takes a line without its end apart.
func splitLine(line []byte) (hash digest, rest []byte, err error) {
	if len(line) < restStart || string(line[:len(lineHead)]) != lineHead || string(line[restStart-len(lineSep):restStart]) != lineSep {
		return hash, nil, errors.New("not a record")
	}
	if _, err := hex.Decode(hash[:], line[len(lineHead):restStart-len(lineSep)]); err != nil {
		return hash, nil, fmt.Errorf("not a record: %w", err)
	}
	return hash, line[restStart:], nil
}

// parseLine reads a line and checks that it follows prev.
func parseLine(line []byte, prev digest) (*Record, digest, error) {
	hash, rest, err := splitLine(line)
	if err != nil {
		return nil, hash, err
	}
	if link(prev, rest) != hash {
		return nil, hash, errors.New("the hash is wrong: this record was changed, or one before it was changed, removed or moved")
	}
	r := new(Record)
	if err := json.Unmarshal(append([]byte{'{'}, rest...), r); err != nil {
		return nil, hash, err
	}
	return r, hash, nil
}

// chain appends records to a file.
type chain struct {
	file  *os.File
	seq   uint64 // of the last record
	head  digest // its hash
	size  int64
	dirty bool
	buf   []byte
}

// chainError says where a chain is broken.
type chainError struct {
	path string
	line uint64
	err  error
}

func (e *chainError) Error() string { return fmt.Sprintf("%s:%d: %v", e.path, e.line, e.err) }
func (e *chainError) Unwrap() error { return e.err }

// errTorn says that a chain ends in a part of a line.
var errTorn = errors.New("the last record is torn")

// readChain hands the records of a chain out in order, with their hashes. The
// first one is to follow the head and the number of from. It returns the state after the last whole
// and right one; the error is a *chainError when the chain is broken there.
func readChain(path string, from chain, each func(*Record, digest) error) (c chain, err error) {
	c = from
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	for line := uint64(1); ; line++ {
		b, err := readLine(in)
		if errors.Is(err, io.EOF) && len(b) == 0 {
			return c, nil
		}
		if errors.Is(err, io.EOF) {
			return c, &chainError{path, line, errTorn}
		}
		if err != nil {
			return c, &chainError{path, line, err}
		}
		r, hash, err := parseLine(b[:len(b)-1], c.head)
		if err == nil && r.Seq != c.seq+1 {
			err = fmt.Errorf("record %d follows record %d", r.Seq, c.seq)
		}
		if err != nil {
			return c, &chainError{path, line, err}
		}
		if err := each(r, hash); err != nil {
			return c, &chainError{path, line, err}
		}
		c.seq, c.head = r.Seq, hash
		c.size += int64(len(b))
	}
}

// readLine reads a line with its end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		b, err := in.ReadSlice('\n')
		if err == nil && long == nil {
			return b, nil
		}
		long = append(long, b...)
		if len(long) > maxLine {
			return nil, errors.New("the line is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

// openChain opens a chain to append to it, or makes one. A torn line at the
// end, which a crash leaves, is cut. A chain that is broken elsewhere is not opened.
func openChain(path string, from chain, each func(*Record, digest) error) (*chain, error) {
	c, err := readChain(path, from, each)
	if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &c, c.openAt(path)
}

// openAt opens the file for appending at c.size and cuts what is behind.
func (c *chain) openAt(path string) (err error) {
	if c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := c.file.Truncate(c.size); err != nil {
		c.file.Close()
		return err
	}
	return nil
}

// append writes a record, which outlasts the end of the process then, and that
// of the machine after sync. When it cannot be written whole it is taken back.
func (c *chain) append(at time.Time, kind string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var head digest
	if c.buf, head, err = appendLine(c.buf[:0], c.head, &Record{c.seq + 1, at.UTC(), kind, raw}); err != nil {
		return err
	}
	if _, err := c.file.WriteAt(c.buf, c.size); err != nil {
		return errors.Join(err, c.file.Truncate(c.size))
	}
	c.seq, c.head, c.dirty = c.seq+1, head, true
	c.size += int64(len(c.buf))
	return nil
}

func (c *chain) sync() error {
	if !c.dirty {
		return nil
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	c.dirty = false
	return nil
}

// tailOf returns the last whole line of a file and where it ends.
func tailOf(f *os.File) (line []byte, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	for window := int64(64 << 10); ; window *= 8 {
		from := max(0, info.Size()-window)
		b := make([]byte, info.Size()-from)
		if _, err := f.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		last := bytes.LastIndexByte(b, '\n')
		if last >= 0 {
			if start := bytes.LastIndexByte(b[:last], '\n') + 1; start > 0 || from == 0 {
				return b[start:last], from + int64(last) + 1, nil
			}
		}
		if from == 0 {
			return nil, 0, nil
		}
		if window > 2*maxLine {
			return nil, 0, errors.New("the last line is too long")
		}
	}
}
