package host

import (
	"io"
	"testing"

	"rollcage/internal/observe/event"
)

// busySource has an event every 10 ms for a second, and never a moment without one.
type busySource struct {
	n   int
	buf []byte
}

func (*busySource) Snapshot() *event.Snapshot { return &event.Snapshot{} }
func (*busySource) Stats() event.Stats        { return event.Stats{} }
func (*busySource) Close() error              { return nil }

func (b *busySource) Next(ev *event.Event) error {
	if b.n++; b.n > 100 {
		return io.EOF
	}
	var err error
	b.buf, err = event.Append(b.buf[:0], 1e18+uint64(b.n)*10e6, 1, event.SYSCALL_GETCWD_X, 0, "/")
	if err != nil {
		return err
	}
	return ev.Reset(b.buf)
}

func TestWhatIsDueByTimeIsDoneOnABusyHost(t *testing.T) {
	for name, c := range map[string]struct {
		live bool
		want int
	}{
		"ten times a second on a live host": {true, 10},
		"not when reading a capture":        {false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := NewStream(&busySource{}, c.live)
			if err != nil {
				t.Fatal(err)
			}
			calls, events := 0, 0
			st.Idle = func() error { calls++; return nil }
			if err := st.Run(t.Context(), func(*Event) error { events++; return nil }, nil); err != nil {
				t.Fatal(err)
			}
			if calls != c.want || events != 100 {
				t.Errorf("%d times in %d events, want %d in 100", calls, events, c.want)
			}
		})
	}
}
