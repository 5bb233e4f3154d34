package sysdig

import (
	"slices"

	"rollcage/internal/inspect/chisel"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// processFilter leaves processes out of the state that a file starts with.
type processFilter struct{ selection *chisel.Selection }

func newProcessFilter(condition string) (*processFilter, error) {
	sel, err := chisel.NewSelection(condition)
	return &processFilter{sel}, err
}

// snapshot returns the state with the threads that pass, and their main threads.
func (p *processFilter) snapshot(state *host.State) *event.Snapshot {
	snap := state.Snapshot()
	keep := map[int64]bool{}
	for t := range state.Threads() {
		if p.selection.Thread(state, t) {
			keep[t.TID], keep[t.PID] = true, true
		}
	}
	snap.Threads = slices.DeleteFunc(snap.Threads, func(t *event.ThreadInfo) bool { return !keep[t.TID] })
	return snap
}
