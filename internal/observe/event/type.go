package event

import "strings"

// Type is the number of an event type as it stands in event headers. Even
// numbers are enter events, odd ones exit events.
type Type uint16

// Info returns the description of the type, or nil if the number is not in
// the table (an event from a newer producer).
func (t Type) Info() *Info {
	if int(t) < len(tables.events) {
		return tables.events[t]
	}
	return nil
}

// IsEnter reports whether the type is an enter event.
func (t Type) IsEnter() bool { return t&1 == 0 }

// String returns the enumerator name, for instance SYSCALL_OPENAT_2_X.
func (t Type) String() string {
	if i := t.Info(); i != nil {
		return i.Enum
	}
	return "UNKNOWN_" + itoa(int(t))
}

// Info describes an event type. It is shared and must not be changed.
type Info struct {
	Type     Type
	Enum     string // enumerator, for instance SYSCALL_OPENAT_2_X
	Name     string // name that users see, for instance openat
	Category Category
	Origin   Origin
	Flags    Flags
	Params   []ParamInfo
}

// ParamIndex returns the index of the parameter with that name, or -1.
func (i *Info) ParamIndex(name string) int {
	for n := range i.Params {
		if i.Params[n].Name == name {
			return n
		}
	}
	return -1
}

// Current reports whether producers of today write this type: it is neither
// an old version nor an unused number.
func (i *Info) Current() bool { return i.Flags&(OldVersion|Unused) == 0 }

// LargePayload reports whether the lengths of the parameters are 32 bits wide.
func (i *Info) LargePayload() bool { return i.Flags&LargePayload != 0 }

// Category says what an event is about.
type Category uint8

// The categories, in no particular order.
const (
	CategoryUnknown Category = iota
	CategoryOther
	CategoryFile
	CategoryNet
	CategoryIPC
	CategoryWait
	CategorySignal
	CategorySleep
	CategoryTime
	CategoryProcess
	CategoryScheduler
	CategoryMemory
	CategoryUser
	CategorySystem
	CategoryIORead
	CategoryIOWrite
	CategoryIOOther
	CategoryInternal
)

// categoryNames holds the word in the table and the word that evt.category prints.
var categoryNames = [...][2]string{
	CategoryUnknown:   {"UNKNOWN", "unknown"},
	CategoryOther:     {"OTHER", "other"},
	CategoryFile:      {"FILE", "file"},
	CategoryNet:       {"NET", "net"},
	CategoryIPC:       {"IPC", "IPC"},
	CategoryWait:      {"WAIT", "wait"},
	CategorySignal:    {"SIGNAL", "signal"},
	CategorySleep:     {"SLEEP", "sleep"},
	CategoryTime:      {"TIME", "time"},
	CategoryProcess:   {"PROCESS", "process"},
	CategoryScheduler: {"SCHEDULER", "scheduler"},
	CategoryMemory:    {"MEMORY", "memory"},
	CategoryUser:      {"USER", "user"},
	CategorySystem:    {"SYSTEM", "system"},
	CategoryIORead:    {"IO_READ", "IO_READ"},
	CategoryIOWrite:   {"IO_WRITE", "IO_WRITE"},
	CategoryIOOther:   {"IO_OTHER", "IO_OTHER"},
	CategoryInternal:  {"INTERNAL", "internal"},
}

// String returns the word that evt.category prints. The three I/O categories
// are told by their descriptor there and have no word of their own.
func (c Category) String() string { return categoryNames[c][1] }

// Origin says what produced an event.
type Origin uint8

// The origins of events.
const (
	OriginNone       Origin = iota
	OriginSyscall           // a system call
	OriginTracepoint        // a kernel tracepoint
	OriginPlugin            // an event source outside the kernel
	OriginMeta              // state that travels in the stream
	OriginIter              // a snapshot iterator
)

var originNames = [...]string{"NONE", "SYSCALL", "TRACEPOINT", "PLUGIN", "METAEVENT", "ITER"}

// Flags are the properties of an event type.
type Flags uint16

// The properties of event types.
const (
	CreatesFD        Flags = 1 << iota // the result is a new descriptor
	DestroysFD                         // closes a descriptor
	UsesFD                             // works on the descriptor in a parameter
	ReadsFromFD                        // reads data from it
	WritesToFD                         // writes data to it
	ModifiesState                      // changes what the host state knows
	Unused                             // number without meaning
	Waits                              // may block
	SkipParserReset                    // meta events that leave the per-event state alone
	OldVersion                         // no longer produced
	ConverterManaged                   // upgraded by the reader, see package capture
	LargePayload                       // parameter lengths are 32 bits wide
)

var flagNames = [...]string{
	"CREATES_FD", "DESTROYS_FD", "USES_FD", "READS_FROM_FD", "WRITES_TO_FD", "MODIFIES_STATE", "UNUSED",
	"WAITS", "SKIPPARSERESET", "OLD_VERSION", "CONVERTER_MANAGED", "LARGE_PAYLOAD",
}

// Signature returns the type in a line: > or < for the entry or exit of a
// call, name, and parameters with their types.
func (i *Info) Signature() string {
	dir := "<"
	if i.Type.IsEnter() {
		dir = ">"
	}
	params := make([]string, len(i.Params))
	for n := range i.Params {
		params[n] = i.Params[n].Type.String() + " " + i.Params[n].Name
	}
	return dir + " " + i.Name + "(" + strings.Join(params, ", ") + ")"
}
