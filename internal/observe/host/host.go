// Package host keeps the live state of a host: processes and threads with
// their ancestry, descriptors, users, and containers by cgroup. It applies
// each event of a source to its tables and attaches to the event what it
// refers to.
//
// A [State] is made with [New], filled with [State.Load] and kept up to date
// with [State.Apply], which for each kind of event looks into one table (see
// actions in apply.go) for what the event does to threads, descriptors, users
// or containers. Memory is bounded: see [Options].
//
// The state is used by one goroutine. Nothing here knows whether events come
// from the kernel or from a file; only missing entries are healed from /proc
// when the snapshot says that it is of the running host.
package host

import (
	"rollcage/internal/observe/event"
)

// Event is an event with what it refers to. It is reused: what it points at
// is valid until the next Apply.
type Event struct {
	*event.Event
	// State is the state that Thread and FD belong to.
	State *State
	// Thread is the thread that caused the event, nil if there is none or it is not known.
	Thread *Thread
	// FD is the descriptor that the event created, used or destroyed, nil if
	// there is none or it is not known. FDNum is its number, -1 if there is none.
	FD    *FD
	FDNum int64
	// OldName is the name of FD before the event if the event changed it (connect, bind, accept …).
	OldName     string
	NameChanged bool
	// Prev is the time of the event shown before this one, 0 for the first; First that of the first.
	Prev, First uint64
}

// ContainerID returns the short id of the thread's container, "" on the host.
func (t *Thread) ContainerID() string {
	if t.Container == nil {
		return ""
	}
	return t.Container.ID
}

// Process returns the main thread of the event's thread, nil if not known.
func (e *Event) Process() *Thread {
	if e.Thread == nil {
		return nil
	}
	return e.Thread.Leader
}

// Thread is a live thread, or a process by its main thread.
type Thread struct {
	event.ThreadInfo
	// Leader is the main thread of the process; a main thread's is itself.
	// When the main thread is not known it is the thread itself.
	Leader *Thread
	// Parent is the main thread of the parent process, nil if not known.
	Parent *Thread
	// Children are the main threads of the child processes.
	Children []*Thread
	// FDs is the descriptor table, shared by the threads of a process.
	FDs *FDTable
	// Container is where the thread runs, nil on the host.
	Container *Container
	// Image numbers what is known of the process and its ancestors: it
	// changes with exec, credentials, session, container facts and the like, of the
	// process or of an ancestor, and no two states share a number. What depends on those
	// alone may be remembered in Memo for as long as Image stays.
	Image uint64
	// Memo belongs to the consumer of the events; host leaves it alone.
	Memo Memo
	// LastSeen is the time of the thread's last event, ns since the epoch.
	LastSeen uint64
	// Threads is the number of live threads of the process, kept at the leader.
	Threads int
	// Dead is set while the event that ends the thread is looked at, and for a
	// main thread that ended before the other threads of its process.
	Dead bool
	// Inferred is set when the thread was not announced by an event or snapshot.
	Inferred bool

	members    []*Thread // at the leader: the other threads of the process
	memberSlot int       // where the leader's members have this thread
	childSlot  int       // where the parent's Children have this thread
	ringSlot   int       // where State.ring has this thread

	enter     []byte     // enter event that waits for its exit event
	enterType event.Type // its type, 0 if there is none

	checked      uint64 // time of the last look whether an idle thread still lives
	awaitsChild  bool   // made from the parent's clone event; the child's own is due
	awaitsParent bool   // made from its own clone event; the parent's is due
	subreaper    bool   // at the leader: orphaned descendants are given to it
	ownFDs       bool   // made without CLONE_FILES, though it is a thread
	healDue      bool   // inferred because healing had no budget: try again
}

// Memo holds what a consumer remembers about a process image: for numbered
// questions, whether the answer is known and what it is.
type Memo struct {
	Image   uint64 // the image that the answers are about
	Program uint64 // the compiled program that the numbers belong to
	Known   []uint64
	Value   []uint64
}

// FD is an open descriptor.
type FD struct {
	event.FDInfo
	// Role tells the ends of a connection apart.
	Role Role
	// Connected is set for sockets with a peer.
	Connected bool
	// Raw is the path as the program passed it, "" if it was not opened by path.
	Raw string
	// UpperLayer and LowerLayer say where an overlayfs has the file.
	UpperLayer, LowerLayer bool
	CloseOnExec            bool
	Created                bool // the open created the file

	refs    int32 // places in descriptor tables that hold it
	pending bool  // a connect is under way
	missing bool  // placeholder for what could not be healed
	pid     int64 // process that a pidfd stands for
}

// Role of the process in a connection.
type Role uint8

// The roles.
const (
	RoleNone Role = iota
	RoleClient
	RoleServer
)

// ContainerType numbers the container runtimes as capture files do.
type ContainerType int32

// The container runtimes.
const (
	Docker     ContainerType = 0
	LXC        ContainerType = 1
	LibvirtLXC ContainerType = 2
	Mesos      ContainerType = 3
	Rkt        ContainerType = 4
	Custom     ContainerType = 5
	CRI        ContainerType = 6
	Containerd ContainerType = 7
	CRIO       ContainerType = 8
	BPM        ContainerType = 9
	Static     ContainerType = 10
	Podman     ContainerType = 11
	Unknown    ContainerType = 0xffff
)

// containerTypes are the names of the runtimes.
var containerTypes = map[ContainerType]string{
	Docker: "docker", LXC: "lxc", LibvirtLXC: "libvirt_lxc", Mesos: "mesos", Rkt: "rkt",
	Custom: "custom", CRI: "cri", Containerd: "containerd", CRIO: "cri-o", BPM: "bpm",
	Static: "static", Podman: "podman",
}

// String returns the name of the runtime (container.type), "" if it has none.
func (t ContainerType) String() string { return containerTypes[t] }

// Container is a container and what its runtime says about it. ID, FullID and
// Type come from the cgroup; the rest is filled when a container event
// arrives (see spec of the container JSON in docs), which Known tells.
type Container struct {
	ID     string // first 12 characters
	FullID string
	Type   ContainerType
	Known  bool // the runtime's facts are filled
	// Partial says of a container that is known that the runtime did not yet
	// tell all: Privileged, Host*, User, Env, checks and limits are then unknown.
	Partial bool

	Name, Image, ImageID, ImageRepo, ImageTag, ImageDigest string

	Created      int64 // seconds since the epoch
	User         string
	IP           string // dotted IPv4
	CNI          string // JSON
	Privileged   bool
	HostPID      bool
	HostNetwork  bool
	HostIPC      bool
	Labels       map[string]string
	Mounts       []Mount
	Env          []string
	PortMappings []PortMapping
	Healthcheck  *Probe
	Liveness     *Probe
	Readiness    *Probe
	// Health is the last health state that the runtime reported: starting, healthy, unhealthy or "".
	Health string

	MemoryLimit, SwapLimit         int64
	CPUShares, CPUQuota, CPUPeriod int64
	CPUSetCount                    int32
	Size                           int64 // bytes, -1 unknown
	IsPodSandbox                   bool
	PodSandboxID                   string
	PodSandboxLabels               map[string]string

	threads int    // threads that run in it
	seen    uint64 // time of the last event about it
	removed bool   // the runtime said that it is gone
}

// Mount is a mount of a container.
type Mount struct {
	Source, Destination, Mode, Propagation string
	RW                                     bool // writable
}

// PortMapping publishes a container's port on the host.
type PortMapping struct {
	HostIP        uint32 `json:"HostIp"` // IPv4, as in capture files
	HostPort      uint16
	ContainerPort uint16
}

// Probe is a command that checks a container's health.
type Probe struct {
	Exe  string   `json:"exe"`
	Args []string `json:"args"`
}
