package procfs

import (
	"time"

	"rollcage/internal/observe/event"
)

// remember is how long a Healer takes socket tables, mounts and the like to stay as they are.
const remember = time.Second

// Healer finds single threads and descriptors that a stream of events did not
// tell of; it is the host.Healer of a live host. It is used by one goroutine.
type Healer struct {
	r    *Reader
	last time.Time
}

// NewHealer returns a Healer that reads with r.
func NewHealer(r *Reader) *Healer { return &Healer{r: r} }

// refresh forgets what the reader remembers if it is too old.
func (h *Healer) refresh() {
	if now := time.Now(); now.Sub(h.last) > remember {
		h.r.Refresh()
		h.last = now
	}
}

// Thread returns what is known about a thread; a main thread comes with its descriptors.
func (h *Healer) Thread(tid int64) (*event.ThreadInfo, error) {
	h.refresh()
	pid, err := h.r.ProcessOf(tid)
	if err != nil {
		return nil, err
	}
	t, err := h.r.Thread(pid, tid)
	if err != nil {
		return nil, err
	}
	if t.TID == t.PID {
		// A process that ends meanwhile has none.
		t.FDs, _ = h.r.FDs(pid)
	}
	return t, nil
}

// FD returns a descriptor of a process.
func (h *Healer) FD(pid, num int64) (event.FDInfo, error) {
	h.refresh()
	return h.r.FD(pid, num)
}

// Alive reports whether the thread exists.
func (h *Healer) Alive(tid int64) bool {
	_, err := h.r.ProcessOf(tid)
	return err == nil
}
