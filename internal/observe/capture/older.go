package capture

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"rollcage/internal/observe/event"
)

// Readers in the field abort on an event with more parameters than they know,
// and leave out types that they do not know. So an event that sysdig 0.41 (the
// libraries of 2025) does not know is written in the form that it does, and the
// event itself is put into an option behind it, which other readers skip.

// olderForm is how older readers know an event.
type olderForm struct {
	typ    event.Type
	params int    // so many of its parameters
	call   string // or, if set, as the generic event of that system call
}

var (
	olderForms = [...]olderForm{
		{typ: event.SOCKET_SOCKET_X, params: 4},
		{typ: event.SYSCALL_FCNTL_X, params: 3},
		{typ: event.SYSCALL_CLOSE_RANGE_X, call: "close_range"},
		{typ: event.SYSCALL_KEYCTL_X, call: "keyctl"},
	}
	newerTypes = func() *event.TypeSet {
		s := new(event.TypeSet)
		for _, f := range olderForms {
			s.Add(f.typ)
		}
		return s
	}()
	nativeNumbers = func() map[string]uint16 {
		arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
		m := map[string]uint16{}
		for _, n := range event.NativeSyscalls(arch) {
			m[n.Syscall.Name] = uint16(n.Nr)
		}
		return m
	}()
)

// older appends the event in its older form. It reports false if that is how
// it already is.
func older(b []byte, ev *event.Event) ([]byte, bool) {
	for i := range olderForms {
		switch f := &olderForms[i]; {
		case f.typ != ev.Type():
		case f.call != "":
			return generic(b, ev, f.call), true
		case ev.NumParams() > f.params:
			return firstParams(b, ev, f.params), true
		}
	}
	return b, false
}

// generic appends a GENERIC_X with the time and thread of ev.
func generic(b []byte, ev *event.Event, call string) []byte {
	le, start := binary.LittleEndian, len(b)
	b = append(b, ev.Bytes()[:event.HeaderSize]...)
	b = le.AppendUint16(le.AppendUint16(b, 2), 2)
	b = le.AppendUint16(b, event.SyscallByName(call).Code)
	b = le.AppendUint16(b, nativeNumbers[call])
	le.PutUint32(b[start+16:], uint32(len(b)-start))
	le.PutUint16(b[start+20:], uint16(event.GENERIC_X))
	le.PutUint32(b[start+22:], 2)
	return b
}

// firstParams appends ev without the parameters from n on.
func firstParams(b []byte, ev *event.Event, n int) []byte {
	le, start := binary.LittleEndian, len(b)
	b = append(b, ev.Bytes()[:event.HeaderSize]...)
	for i := range n {
		b = le.AppendUint16(b, uint16(len(ev.Param(i))))
	}
	for i := range n {
		b = append(b, ev.Param(i)...)
	}
	le.PutUint32(b[start+16:], uint32(len(b)-start))
	le.PutUint32(b[start+22:], uint32(n))
	return b
}

// restore makes ev a view of the event in the options behind it, if it has
// one, and returns the latency that they tell, 0 if they do not.
func restore(ev *event.Event, b []byte, at int) (uint64, error) {
	end := at + len(ev.Bytes())
	end += padding(end)
	if end >= len(b) {
		return 0, nil
	}
	opt := readOptions(b[end:])
	data := opt.event
	if len(data) < event.HeaderSize || event.Type(binary.LittleEndian.Uint16(data[20:])).Info() == nil {
		return opt.latency, nil // none, or of a newer release: the older form is the best there is
	}
	if err := ev.Reset(data); err != nil {
		return 0, fmt.Errorf("%w: in the option of an event: %w", ErrFormat, err)
	}
	return opt.latency, nil
}
