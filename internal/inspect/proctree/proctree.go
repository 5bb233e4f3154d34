// Package proctree collects the processes of a stream of events over time: who
// started whom, when, with which programs and arguments, as whom, in which
// container, and how each ended.
//
// A [Tree] is fed with each event after the state of the host was brought up
// to it. Memory is bounded: beyond [MaxProcesses] further ones are counted and
// left out.
package proctree

import (
	"math"
	"slices"
	"strconv"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// MaxProcesses is how many processes a tree holds.
const MaxProcesses = 1 << 20

// maxImages bounds how many programs are kept of one process; a shell that
// executes another program each time does not have more.
const maxImages = 64

// Process is a process of the stream.
type Process struct {
	// ID numbers the processes in the order in which they were first seen, from 0.
	ID int `json:"id"`
	// Parent is the ID of the process that started it, or that it had when it
	// was first seen; -1 if that is not known.
	Parent int `json:"parent"`
	// PID and VPID are its number on the host and in its own namespace.
	PID  int64 `json:"pid"`
	VPID int64 `json:"vpid"`
	// Start and End are ns since the epoch. Start is 0 when it ran before the
	// stream and nobody knows since when, End is 0 when it still ran at the end.
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
	// First and Last are the times of its first and last event, 0 without any.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Born is true when the stream shows its start.
	Born bool `json:"born"`
	// Exit says how it ended: "0", "1", "SIGKILL" …; empty if it did not or nobody told.
	Exit string `json:"exit,omitempty"`
	// Container is the short id of its container, empty on the host, and
	// ContainerName its name, empty if nobody told it.
	Container     string  `json:"container,omitempty"`
	ContainerName string  `json:"containerName,omitempty"`
	Images        []Image `json:"images"`
	// Threads is how many threads it started beside the main one, Events what
	// all of them did, Errors how many of these failed.
	Threads int    `json:"threads,omitempty"`
	Events  uint64 `json:"events"`
	Errors  uint64 `json:"errors,omitempty"`
	// Read and Written are bytes moved by successful calls on descriptors.
	Read    uint64 `json:"read,omitempty"`
	Written uint64 `json:"written,omitempty"`

	image uint64 // host.Thread.Image when Images was brought up to date
}

// Image is a program that a process executed, or who it became.
type Image struct {
	// Time is when, ns since the epoch; 0 for what it was when it was first seen.
	Time uint64 `json:"time"`
	// Exec is false when only the user changed.
	Exec bool   `json:"exec"`
	Comm string `json:"comm"`
	// Exe is the path of the program, or what it was called by if the path is not known.
	Exe  string   `json:"exe"`
	Args []string `json:"args,omitempty"` // with argv[0]
	Cwd  string   `json:"cwd,omitempty"`
	UID  uint32   `json:"uid"`
	User string   `json:"user,omitempty"` // empty if the number has no name
	TTY  uint32   `json:"tty,omitempty"`
}

// Tree is the processes of a stream. It is used by one goroutine.
type Tree struct {
	Processes []*Process `json:"processes"`
	// LeftOut is how many processes there were beyond MaxProcesses.
	LeftOut uint64 `json:"leftOut,omitempty"`

	live     map[int64]*Process // by PID
	last     *Process           // of the last event
	lastLead *host.Thread
}

// New returns an empty tree.
func New() *Tree { return &Tree{live: map[int64]*Process{}} }

// Load adds the processes that a state holds which is the start of a stream or
// of a section of it. Those of an earlier section end without anybody telling how.
func (t *Tree) Load(s *host.State) {
	clear(t.live)
	t.last, t.lastLead = nil, nil
	for th := range s.Threads() {
		if th.Leader == th {
			t.find(th, s)
		}
	}
}

// Add takes notice of an event that the state was brought up to.
func (t *Tree) Add(he *host.Event) {
	lead := he.Process()
	if lead == nil {
		return
	}
	p := t.last
	if lead != t.lastLead || p == nil || p.PID != lead.PID {
		p = t.find(lead, he.State)
	}
	t.last, t.lastLead = p, lead
	if p == nil {
		return
	}
	if p.image != lead.Image {
		p.changed(lead, he.State, he)
	}
	p.recognize(he)
	if !he.Hidden {
		p.count(he)
	}
	switch he.Type() {
	case event.PROCEXIT_1_E, event.PROCEXIT_E:
		if he.Thread == lead {
			p.End, p.Exit = he.Time(), exitOf(he.Event)
		}
		if lead.Threads <= 0 {
			delete(t.live, p.PID)
			t.last, t.lastLead = nil, nil
		}
	case event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.SYSCALL_FORK_20_X, event.SYSCALL_VFORK_20_X:
		if res, ok := he.Int(0); ok && res == 0 {
			t.born(p, he)
		}
	}
}

// born takes notice of the first event of a child.
func (t *Tree) born(p *Process, he *host.Event) {
	switch {
	case he.Thread != he.Process():
		p.Threads++
	case !p.Born && p.Events <= 1:
		p.Born, p.Start = true, he.Time()
	}
}

// find returns the process of a main thread, and adds it with its ancestors if it is new.
func (t *Tree) find(lead *host.Thread, s *host.State) *Process {
	p := t.live[lead.PID]
	if p != nil && (p.End == 0 || p.image == lead.Image) {
		return p
	}
	return t.add(lead, s)
}

// add adds a process and, first, those ancestors that are not there yet.
func (t *Tree) add(lead *host.Thread, s *host.State) *Process {
	if len(t.Processes) >= MaxProcesses {
		t.LeftOut++
		return nil
	}
	p := &Process{Parent: -1, PID: lead.PID, VPID: lead.VPID, Start: lead.StartTime}
	t.live[lead.PID] = p
	if up := lead.Parent; up != nil && up != lead {
		if parent := t.find(up, s); parent != nil {
			p.Parent = parent.ID
		}
	}
	p.ID = len(t.Processes)
	t.Processes = append(t.Processes, p)
	p.changed(lead, s, nil)
	return p
}

// changed brings the images up to what the state says. The event is nil when
// the process is first seen.
func (p *Process) changed(lead *host.Thread, s *host.State, he *host.Event) {
	p.image = lead.Image
	p.Container = lead.ContainerID()
	if c := lead.Container; c != nil && c.Name != "" {
		p.ContainerName = c.Name
	}
	im := imageOf(lead, s)
	if n := len(p.Images); n > 0 {
		if before := &p.Images[n-1]; im.UID == unknownUser {
			im.UID, im.User = before.UID, before.User
		}
		if p.Images[n-1].same(&im) {
			return
		}
		if n == maxImages {
			p.Images = append(p.Images[:1], p.Images[2:]...)
		}
	}
	if he != nil {
		t := he.Type()
		im.Time, im.Exec = he.Time(), t == event.SYSCALL_EXECVE_19_X || t == event.SYSCALL_EXECVEAT_X
	}
	p.Images = append(p.Images, im)
}

// unknownUser is the number of a user that is not known, as in the kernel.
const unknownUser = math.MaxUint32

// recognize takes the user from another thread when nobody knows that of the
// main one: it may have ended before the stream began.
func (p *Process) recognize(he *host.Event) {
	im := &p.Images[len(p.Images)-1]
	if th := he.Thread; im.UID == unknownUser && th != nil && th.UID != unknownUser {
		im.UID = th.UID
		if u := he.State.User(th.UID, th.ContainerID()); u != nil {
			im.User = u.Name
		}
	}
}

// same reports whether program and user are.
func (im *Image) same(o *Image) bool {
	return im.Exe == o.Exe && im.Comm == o.Comm && im.UID == o.UID && slices.Equal(im.Args, o.Args)
}

func imageOf(t *host.Thread, s *host.State) Image {
	im := Image{Comm: t.Comm, Exe: t.ExePath, Cwd: t.Cwd, UID: t.UID, TTY: t.TTY}
	if im.Exe == "" {
		im.Exe = t.Exe
	}
	im.Args = append(append(im.Args, t.Exe), t.Args...)
	if u := s.User(t.UID, t.ContainerID()); u != nil {
		im.User = u.Name
	}
	return im
}

// count adds an event to the numbers of its process.
func (p *Process) count(he *host.Event) {
	p.Events++
	if p.Last = he.Time(); p.First == 0 {
		p.First = p.Last
	}
	info := he.Info()
	if len(info.Params) == 0 || he.Type().IsEnter() {
		return
	}
	res, ok := he.Int(0)
	if !ok {
		return
	}
	switch kind := info.Params[0].Type; {
	case kind != event.TypeErrno && kind != event.TypeFD && kind != event.TypePID:
	case res < 0:
		p.Errors++
	case info.Flags&event.ReadsFromFD != 0:
		p.Read += uint64(res)
	case info.Flags&event.WritesToFD != 0:
		p.Written += uint64(res)
	}
}

// exitOf says how a process ended. Older forms of the event have the status
// that wait gives alone.
func exitOf(ev *event.Event) string {
	status, known := ev.Int(0)
	ret, hasRet := ev.Int(1)
	sig, hasSig := ev.Int(2)
	switch {
	case !hasRet && !known:
		return ""
	case !hasRet:
		ret = status >> 8 & 0xff
	}
	if !hasSig {
		sig = status & 0x7f
	}
	if sig <= 0 {
		return strconv.FormatInt(ret, 10)
	}
	if name := event.SignalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.FormatInt(sig, 10)
}
