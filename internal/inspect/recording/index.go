package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"rollcage/internal/inspect/proctree"
	"rollcage/internal/inspect/view"
)

// The index file is one zstd stream of parts: u8 kind, u32 length (little
// endian), bytes. docs/formats/index.md describes it.
const (
	partHead  = 'H' // JSON of head; the first part
	partPoint = 'P' // JSON of a checkpoint without its state
	partState = 'S' // the state of the point before it, as host.State.Save writes it
	partTree  = 'T' // JSON of the processes
	partFacts = 'F' // JSON of indexFacts
	partTiles = 'O' // JSON of the overview
	partEnd   = 'E' // empty; the last part

	indexVersion = 3
	// maxPart bounds what is believed of a length, maxIndex what is unpacked.
	maxPart  = 1 << 30
	maxIndex = 4 << 30
)

var errNoIndex = errors.New("there is no index")

// head says which capture the index belongs to and what is known of it.
type head struct {
	Format string `json:"format"` // "rollcage index"
	Number int    `json:"version"`
	// Print is a hash of the size of the capture and its first and last bytes.
	Print string `json:"fingerprint"`
	Info  Info   `json:"info"`
}

// indexFacts is what the kinds of events name, and the kinds behind the last checkpoint.
type indexFacts struct {
	Casts []cast
	Rest  []kindCount
}

func (f *indexFacts) check() error {
	for _, c := range f.Casts {
		if len(c) != len(processFacts) {
			return errors.New("its facts are about other fields")
		}
	}
	return nil
}

// indexPaths returns where the index of the capture may be: beside it, or when that
// folder cannot be written, in the user's cache.
func (r *Recording) indexPaths() []string {
	paths := []string{r.path + ".rcindex"}
	if dir, err := os.UserCacheDir(); err == nil {
		abs, err := filepath.Abs(r.path)
		if err != nil {
			abs = r.path
		}
		sum := sha256.Sum256([]byte(abs))
		paths = append(paths, filepath.Join(dir, "rollcage", "index", hex.EncodeToString(sum[:16])+".rcindex"))
	}
	return paths
}

// printBytes is how much of both ends of a capture its fingerprint covers.
const printBytes = 64 << 10

// fingerprint tells captures apart without reading them whole.
func fingerprint(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", stat.Size(), stat.ModTime().UnixNano())
	for _, at := range []int64{0, max(0, stat.Size()-printBytes)} {
		if _, err := io.Copy(h, io.NewSectionReader(f, at, printBytes)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (r *Recording) readIndex() error {
	print, err := fingerprint(r.path)
	if err != nil {
		return err
	}
	err = errNoIndex
	for _, path := range r.indexPaths() {
		f, oerr := os.Open(path)
		if oerr != nil {
			continue
		}
		lerr := trusted(f)
		if lerr == nil {
			lerr = r.loadIndex(f, print)
		}
		f.Close()
		if lerr == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", path, lerr)
	}
	return err
}

// trusted returns an error unless we wrote the index: one that came with a
// capture from somewhere could tell another story than the capture does.
func trusted(f *os.File) error {
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	owner, ok := stat.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Geteuid() || stat.Mode().Perm()&0o022 != 0 || !stat.Mode().IsRegular() {
		return errors.New("it belongs to somebody else, or somebody else may change it")
	}
	return nil
}

// loadIndex takes over what an index says, all of it or nothing.
func (r *Recording) loadIndex(in io.Reader, print string) error {
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndex))
	if err != nil {
		return err
	}
	defer z.Close()
	var (
		h      head
		points []*checkpoint
		tree   = proctree.New()
		tiles  = new(view.Overview)
		known  indexFacts
	)
	for first := true; ; first = false {
		kind, data, err := readPart(z)
		switch {
		case err != nil:
			return err
		case first != (kind == partHead):
			return errors.New("its parts are not in order")
		case kind == partEnd:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.info, r.points, r.tree, r.overview = h.Info, points, tree, tiles
			r.casts, r.rest = known.Casts, known.Rest
			r.info.Indexed = true
			return nil
		}
		switch kind {
		case partHead:
			if err = json.Unmarshal(data, &h); err == nil {
				err = h.fits(print)
			}
		case partPoint:
			p := new(checkpoint)
			err = json.Unmarshal(data, p)
			points = append(points, p)
		case partState:
			if len(points) == 0 {
				return errors.New("its parts are not in order")
			}
			points[len(points)-1].State = pack(data)
		case partFacts:
			err = json.Unmarshal(data, &known)
			if err == nil {
				err = known.check()
			}
		case partTree:
			err = json.Unmarshal(data, tree)
		case partTiles:
			err = json.Unmarshal(data, tiles)
		}
		if err != nil {
			return err
		}
	}
}

func (h *head) fits(print string) error {
	switch {
	case h.Format != "rollcage index":
		return errors.New("it is no index")
	case h.Number != indexVersion:
		return fmt.Errorf("it is of version %d, this program makes %d", h.Number, indexVersion)
	case h.Print != print:
		return errors.New("the capture has changed since")
	}
	return nil
}

func readPart(z io.Reader) (byte, []byte, error) {
	var b [5]byte
	if _, err := io.ReadFull(z, b[:]); err != nil {
		return 0, nil, fmt.Errorf("it is damaged: %w", err)
	}
	n := binary.LittleEndian.Uint32(b[1:])
	if n > maxPart {
		return 0, nil, fmt.Errorf("it is damaged: a part of %d bytes", n)
	}
	var data bytes.Buffer // grows with what is there, whatever the length says
	if got, err := io.CopyN(&data, z, int64(n)); err != nil {
		return 0, nil, fmt.Errorf("it is damaged: %d of %d bytes of a part: %w", got, n, err)
	}
	return b[0], data.Bytes(), nil
}

func writePart(w io.Writer, kind byte, data []byte) error {
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(data)))
	if _, err := w.Write(b); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// writeIndex keeps what the survey found, unless that is more than a tenth of
// the capture.
func (r *Recording) writeIndex() error {
	print, err := fingerprint(r.path)
	if err != nil {
		return err
	}
	r.mu.RLock()
	data, err := r.encodeIndex(print)
	limit := r.info.Size / 10
	r.mu.RUnlock()
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return nil // a capture so small is surveyed in no time
	}
	for _, path := range r.indexPaths() {
		if err = writeFile(path, data); err == nil {
			return nil
		}
	}
	return err
}

func (r *Recording) encodeIndex(print string) ([]byte, error) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	add := func(kind byte, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return writePart(z, kind, data)
	}
	if err := add(partHead, head{"rollcage index", indexVersion, print, r.info}); err != nil {
		return nil, err
	}
	for _, p := range r.points {
		bare := *p
		bare.State = nil
		if err := add(partPoint, bare); err != nil {
			return nil, err
		}
		// Not compressed by itself: states are much alike, and the stream as a whole makes use of that.
		state, err := unpack(p.State)
		if err != nil {
			return nil, err
		}
		if err := writePart(z, partState, state); err != nil {
			return nil, err
		}
	}
	if err := add(partFacts, indexFacts{r.casts, r.rest}); err != nil {
		return nil, err
	}
	if err := add(partTree, r.tree); err != nil {
		return nil, err
	}
	if err := add(partTiles, r.overview); err != nil {
		return nil, err
	}
	if err := writePart(z, partEnd, nil); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// writeFile replaces the file at path, which only its owner may read, as a whole or not at all.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".rcindex-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
