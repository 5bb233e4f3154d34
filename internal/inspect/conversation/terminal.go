package conversation

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"rollcage/internal/observe/host"
)

// maxTerminals bounds the sessions of a list.
const maxTerminals = 4096

// Terminal is a session at a terminal, or one of a shell that talks to a socket
// or pipe in place of one, as a reverse shell does.
type Terminal struct {
	// Key names the session: Frame's with an equal key belong to it.
	Key string `json:"key"`
	// Name is the terminal (/dev/pts/0) or the socket or pipe.
	Name      string `json:"name"`
	Container string `json:"container,omitempty"`
	Process   string `json:"process"` // that wrote to it first
	PID       int64  `json:"pid"`
	// Start and End are the times of the first and last piece, ns since the epoch.
	Start  uint64 `json:"start"`
	End    uint64 `json:"end"`
	Input  int64  `json:"input"`  // bytes typed
	Output int64  `json:"output"` // bytes shown
	Cut    int64  `json:"cut"`    // bytes of both that were not recorded
	// Remote is true for a shell without a terminal.
	Remote bool `json:"remote,omitempty"`
}

// Frame is a piece of a session.
type Frame struct {
	Num     uint64 `json:"num"`
	Time    uint64 `json:"time"`
	Input   bool   `json:"input"` // typed, else shown
	Data    []byte `json:"data"`
	Cut     int64  `json:"cut,omitempty"` // bytes that were not recorded
	Process string `json:"process"`
	PID     int64  `json:"pid"`
}

// shells are programs whose standard streams are worth a replay when they are
// no terminal.
var shells = map[string]bool{"sh": true, "bash": true, "dash": true, "ash": true, "zsh": true, "ksh": true, "fish": true, "busybox": true}

// session returns the key of the session that a piece belongs to, and whether
// there is one.
func session(he *host.Event, p *Piece) (key string, remote, ok bool) {
	t := he.Process()
	if he.FD == nil || t == nil {
		return "", false, false
	}
	switch name := he.FD.Name; {
	case strings.HasPrefix(name, "/dev/pts/") || strings.HasPrefix(name, "/dev/tty") && name != "/dev/tty":
		return t.ContainerID() + name, false, true
	case name == "/dev/tty" && t.TTY != 0:
		// Whoever opens this one means the terminal of the session.
		return t.ContainerID() + "/dev/pts/" + strconv.Itoa(int(minor(t.TTY))), false, true
	case he.FDNum < 0 || he.FDNum > 2:
		return "", false, false
	case (p.Type == "ipv4" || p.Type == "ipv6") && p.Name != "":
		// A shell, or what it started: their standard streams are the connection.
		return t.ContainerID() + name, true, underShell(t)
	}
	return "", false, false
}

// minor returns the minor number of a device in the kernel's encoding.
func minor(dev uint32) uint32 { return dev&0xff | dev>>12&^0xff }

// underShell reports whether a process is a shell or was started by one that
// has the same standard streams.
func underShell(t *host.Thread) bool {
	for range 8 {
		if t == nil {
			return false
		}
		if shells[t.Comm] {
			return true
		}
		t = t.Parent
	}
	return false
}

// Terminals collects the sessions of a stream.
type Terminals struct{ byKey map[string]*Terminal }

// NewTerminals returns an empty collection.
func NewTerminals() *Terminals { return &Terminals{byKey: map[string]*Terminal{}} }

// Add takes notice of an event.
func (s *Terminals) Add(he *host.Event) {
	p, key, remote, ok := frameOf(he)
	if !ok {
		return
	}
	t := s.byKey[key]
	if t == nil {
		if len(s.byKey) >= maxTerminals {
			return
		}
		t = &Terminal{Key: key, Name: p.Name, Container: p.Container, Process: p.Process, PID: p.PID, Start: p.Time, Remote: remote}
		s.byKey[key] = t
	}
	t.End = p.Time
	if p.Read {
		t.Input += p.Length
	} else {
		t.Output += p.Length
	}
	t.Cut += p.Cut()
}

func frameOf(he *host.Event) (p Piece, key string, remote, ok bool) {
	if p, ok = Of(he); !ok {
		return p, "", false, false
	}
	key, remote, ok = session(he, &p)
	return p, key, remote, ok
}

// List returns the sessions in order of their start. It is the caller's.
func (s *Terminals) List() []Terminal {
	out := make([]Terminal, 0, len(s.byKey))
	for _, t := range s.byKey {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Terminal) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Key, b.Key)) })
	return out
}

// FrameOf returns the frame that an event is in the session with that key.
func FrameOf(he *host.Event, key string) (Frame, bool) {
	p, k, _, ok := frameOf(he)
	if !ok || k != key {
		return Frame{}, false
	}
	return Frame{Num: p.Num, Time: p.Time, Input: p.Read, Data: p.Data, Cut: p.Cut(), Process: p.Process, PID: p.PID}, true
}
