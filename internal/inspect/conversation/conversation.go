// Package conversation turns reads and writes into what was said: pieces of data
// with who moved them, where, and in which direction, and the messages of the
// application protocols in them; and terminal sessions that can be played back.
package conversation

import (
	"rollcage/internal/inspect/dissect"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Piece is the data of one read or write.
type Piece struct {
	Num  uint64 `json:"num"`  // of the event
	Time uint64 `json:"time"` // ns since the epoch
	Read bool   `json:"read"` // else written
	// Data is what was recorded of it, Length the number of bytes that were moved.
	Data   []byte `json:"data"`
	Length int64  `json:"length"`

	PID       int64  `json:"pid"`
	TID       int64  `json:"tid"`
	Process   string `json:"process"`
	Container string `json:"container,omitempty"` // its name, or id if it has none
	FD        int64  `json:"fd"`
	// Type is the descriptor's type as fd.type has it: file, ipv4, pipe, unix …
	Type string `json:"type"`
	Name string `json:"name"`
	// Messages are what Dissect made of the data.
	Messages []dissect.Message `json:"messages,omitempty"`

	context dissect.Context
}

// dataParam is the index of the data of events that have some.
var dataParam = func() map[event.Type]int {
	m := map[event.Type]int{}
	for _, info := range event.All() {
		if info.Flags&(event.ReadsFromFD|event.WritesToFD) == 0 {
			continue
		}
		if i := info.ParamIndex("data"); i >= 0 {
			m[info.Type] = i
		}
	}
	return m
}()

// Of returns what an event moved, and false if it moved nothing. Data is the
// caller's.
func Of(he *host.Event) (Piece, bool) {
	i, ok := dataParam[he.Type()]
	if !ok {
		return Piece{}, false
	}
	res, ok := he.Int(0)
	if !ok || res <= 0 {
		return Piece{}, false
	}
	p := Piece{
		Num: he.Num, Time: he.Time(), Read: he.Info().Flags&event.ReadsFromFD != 0,
		Data: append([]byte{}, he.Param(i)...), Length: res, FD: he.FDNum, TID: he.TID(),
	}
	if t := he.Process(); t != nil {
		p.PID, p.Process = t.PID, t.Comm
		if c := t.Container; c != nil {
			if p.Container = c.Name; p.Container == "" {
				p.Container = c.ID
			}
		}
	}
	if fd := he.FD; fd != nil {
		p.Type, p.Name = fd.Type.Word(), fd.Name
		p.context = contextOf(fd, p.Read)
	}
	return p, true
}

// contextOf says what dissecting needs to know of a descriptor.
func contextOf(fd *host.FD, read bool) dissect.Context {
	if !fd.Type.IsIP() {
		return dissect.Context{FromClient: (fd.Role == host.RoleServer) == read}
	}
	c := dissect.Context{ServerPort: fd.Dest.Port(), Datagram: fd.Proto == event.L4UDP}
	if fd.Type.IsServer() {
		c.ServerPort = fd.Source.Port()
	}
	c.FromClient = (fd.Role == host.RoleServer) == read
	return c
}

// Dissect looks for messages of application protocols in sockets and pipes.
func (p *Piece) Dissect() {
	switch p.Type {
	case "ipv4", "ipv6", "unix", "pipe":
		p.Messages = dissect.Messages(p.Data, p.context)
	}
}

// Cut returns how many bytes were moved and not recorded.
func (p *Piece) Cut() int64 { return max(0, p.Length-int64(len(p.Data))) }
