package guard

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// boxControl is what of a black box can be changed while it records. [probe.BlackBox] can.
type boxControl interface {
	SetScope(*probe.BoxScope) error
	SetLengths(probe.BoxSnaplens, map[uint16]int, map[string]int) error
	Cut(most int) error
	Pause(on bool) error
	Size() int
}

// box has the black box keep what policies say, less what is shed.
type box struct {
	g       *Guard
	control boxControl // nil if there is none
	size    int64      // that was wanted at the start

	mu     sync.Mutex
	loaded bool // it is known where containers are
	level  int32
	status BoxStatus
	told   string // the last error
}

// BoxStatus tells what the black box keeps.
type BoxStatus struct {
	Size    int64         `json:"size"`           // bytes of all CPUs
	Reach   time.Duration `json:"reach"`          // ns
	Scope   string        `json:"scope"`          // in words
	Cgroups int           `json:"cgroups"`        // of containers that are recorded, as far as the scope needs to know them
	Most    int           `json:"most"`           // bytes of data of a call
	Restart string        `json:"restart"`        // what takes effect at the next start, "" for nothing
	Error   string        `json:"error,omitzero"` // what could not be done
}

func newBox(g *Guard) *box {
	b := &box{g: g, size: g.opts.Policies.Box().Size}
	b.control, _ = g.opts.Box.(boxControl)
	return b
}

// known says that it is known from now on where containers are. Until then everything is recorded.
func (b *box) known() {
	b.mu.Lock()
	b.loaded = true
	b.mu.Unlock()
	b.g.places.changed()
}

// shed has the box keep as much as a level of shedding leaves.
func (b *box) shed(level int32) error {
	b.mu.Lock()
	b.level = level
	b.mu.Unlock()
	return b.apply()
}

// apply makes the box be as policies and shedding say now. What is the same before and after is recorded meanwhile.
func (b *box) apply() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	want := b.g.Policies().Box()
	b.status = BoxStatus{Reach: want.Reach, Scope: want.Where(), Most: probe.MaxSnaplen}
	if want.Size != b.size {
		b.status.Restart = fmt.Sprintf("%d MB of memory instead of %d MB", want.Size>>20, b.size>>20)
	}
	if r := b.g.recorder.Load(); r != nil {
		r.SetKeep(want.Reach + maxAfter)
	}
	if b.control == nil {
		return nil
	}
	b.status.Size = int64(b.control.Size())
	switch {
	case b.level >= shedData:
		b.status.Most = 0
	case b.level >= shedDetail:
		b.status.Most = detailBytes
	}
	scope := b.scope(&want)
	err := errors.Join(b.control.Cut(b.status.Most), b.control.Pause(b.level >= shedBox || want.Size == 0),
		b.control.SetScope(scope), b.control.SetLengths(want.Data, want.Ports, want.Files))
	if scope != nil {
		for _, in := range scope.Cgroups {
			if in {
				b.status.Cgroups++
			}
		}
	}
	b.tell(err)
	return err
}

// scope returns the cgroups that are in the scope, nil for everything.
func (b *box) scope(want *policy.BlackBox) *probe.BoxScope {
	host := alert.Hostname()
	if !b.loaded || !b.g.places.found() || want.Everywhere(host) {
		return nil
	}
	s := &probe.BoxScope{Cgroups: map[uint64]bool{}, Rest: want.Records(nil, host) == ""}
	b.g.places.each(func(id uint64, c *scene.Container) { s.Cgroups[id] = want.Records(c, host) == "" })
	return s
}

// tell logs what could not be done, once.
func (b *box) tell(err error) {
	if err != nil {
		b.status.Error = err.Error()
	}
	if now := b.status.Error + b.status.Restart; now != b.told {
		b.told = now
		if err != nil {
			b.g.log.Error("the black box does not keep all that policies say", "error", err)
		}
		if b.status.Restart != "" {
			b.g.log.Warn("the black box changes its size at the next start", "to", b.status.Restart)
		}
	}
}

// now returns what the box keeps.
func (b *box) now() BoxStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// recording reports whether there is a box and it records.
func (b *box) recording() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.g.opts.Box != nil && b.level < shedBox && b.g.Policies().Box().Size > 0
}
