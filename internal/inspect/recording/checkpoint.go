package recording

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/host"
)

// checkpoint is a place in the capture with the state of the host there, from
// which a scan can start.
type checkpoint struct {
	Mark  capture.Mark
	Time  uint64 // of the last event before it, ns since the epoch
	Shown uint64 // events before it that are shown
	// State is the host's state as host.State.Save writes it, compressed.
	State []byte
	// Kinds are the events from the checkpoint before it on, nil if they were too many.
	Kinds []kindCount
}

// putBy makes a checkpoint of what a reader and the state that it feeds have come to.
func putBy(r *capture.Reader, s *host.State, at, shown uint64) (*checkpoint, error) {
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		return nil, fmt.Errorf("putting the state by: %w", err)
	}
	return &checkpoint{Mark: r.Mark(), Time: at, Shown: shown, State: pack(b.Bytes())}, nil
}

// restore opens the capture at the checkpoint and returns the state there.
func (c *checkpoint) restore(path string) (*capture.Reader, *host.State, error) {
	data, err := unpack(c.State)
	if err != nil {
		return nil, nil, err
	}
	s, err := host.Restore(bytes.NewReader(data), host.Options{})
	if err != nil {
		return nil, nil, err
	}
	r, err := capture.OpenAt(path, c.Mark, capture.Options{})
	if err != nil {
		return nil, nil, err
	}
	return r, s, nil
}

// size is about how many bytes the checkpoint takes.
func (c *checkpoint) size() int64 {
	n := int64(len(c.State)) + 96 + 24*int64(len(c.Mark.Calls)) + 6*int64(len(c.Kinds))
	if c.Mark.Point != nil {
		n += int64(len(c.Mark.Point.Window))
	}
	for _, e := range c.Mark.Enters {
		n += int64(len(e)) + 8
	}
	return n
}

// The packer is shared; EncodeAll and DecodeAll may be called by many goroutines.
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPart))
)

func pack(data []byte) []byte { return packer.EncodeAll(data, nil) }

func unpack(data []byte) ([]byte, error) {
	out, err := unpacker.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("unpacking a saved state: %w", err)
	}
	return out, nil
}
