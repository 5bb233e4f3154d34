package host

import "rollcage/internal/observe/event"

// Captures of old have enter events. Those that carry what the exit event may
// lack, or what a program may have changed between the two, are kept until the
// exit event of the same thread comes.

// maxEnter is the longest enter event that is kept, in bytes.
const maxEnter = 16 << 10

// storeEnter keeps an enter event with its thread.
func (s *State) storeEnter(he *Event) {
	t := he.Thread
	t.enterType = 0
	if b := he.Bytes(); len(b) <= maxEnter && (len(he.Param(0)) > 0 || len(he.Param(1)) > 0) {
		t.enter, t.enterType = append(t.enter[:0], b...), he.Type()
		s.stats.StoredEnters++
	}
}

// entered makes enter a view of the enter event that belongs to an exit event
// and reports whether there is one. An execveat that succeeds ends as execve.
func (s *State) entered(he *Event, enter *event.Event) bool {
	t, typ := he.Thread, he.Type()
	if t.enterType == 0 {
		return false
	}
	if t.enterType+1 != typ && !(t.enterType == event.SYSCALL_EXECVEAT_E && typ == event.SYSCALL_EXECVE_19_X) {
		return false
	}
	if enter.Reset(t.enter) != nil {
		return false
	}
	s.stats.UsedEnters++
	return true
}

// knownPath returns the path in a parameter, unless the producer had none.
func knownPath(ev *event.Event, i int) (string, bool) {
	path, ok := ev.Str(i)
	return path, ok && path != "<NA>"
}
