package event

import (
	"maps"
	"testing"
)

func TestWhatWasCountedSinceIsTheDifference(t *testing.T) {
	before := Stats{Events: 10, Dropped: 3, Skipped: 1, Drops: map[Type]uint64{SYSCALL_READ_X: 2, SYSCALL_OPENAT_2_X: 1}}
	now := Stats{Events: 25, Dropped: 8, Skipped: 1, Drops: map[Type]uint64{SYSCALL_READ_X: 2, SYSCALL_OPENAT_2_X: 6}}
	got := now.Since(before)
	if got.Events != 15 || got.Dropped != 5 || got.Skipped != 0 || !maps.Equal(got.Drops, map[Type]uint64{SYSCALL_OPENAT_2_X: 5}) {
		t.Errorf("%+v", got)
	}
	if now.Drops[SYSCALL_OPENAT_2_X] != 6 {
		t.Error("the counters themselves were changed")
	}
	if got := (Stats{}).Since(before); len(got.Drops) != 0 { // of a source without counters by type
		t.Errorf("%+v", got)
	}
}
