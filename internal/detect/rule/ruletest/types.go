package ruletest

import (
	"strings"
	"sync"

	"rollcage/internal/observe/event"
)

// typeOf returns the event type that a test means by a name: the exit event of
// today, the enumerator itself, or the generic event for a system call without
// event type, whose code is returned too.
func typeOf(name string) (*event.Info, *event.Syscall) {
	if info := event.ByEnum(name); info != nil && info.Flags&event.Unused == 0 {
		return info, nil
	}
	var found *event.Info
	for _, info := range event.Lookup(name) {
		if !info.Current() {
			continue
		}
		if found == nil || found.Type.IsEnter() || !info.Type.IsEnter() {
			found = info
		}
	}
	if found != nil && found.Type != event.GENERIC_X {
		return found, nil
	}
	if s := event.SyscallByName(name); s != nil && !strings.HasPrefix(name, "$") {
		return event.GENERIC_X.Info(), s
	}
	return nil, nil
}

// typeNames returns the names of all events and system calls.
var typeNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, i := range event.All() {
		if i.Current() {
			names[i.Name] = true
		}
	}
	for _, s := range event.Syscalls() {
		if !strings.HasPrefix(s.Name, "$") {
			names[s.Name] = true
		}
	}
	return names
})
