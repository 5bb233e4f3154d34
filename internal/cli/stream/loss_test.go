package stream

import (
	"rollcage/internal/observe/event"
	"strings"
	"testing"
)

func TestTheSumOfWhatWasLostNamesTypes(t *testing.T) {
	var b strings.Builder
	ReportLoss(&b, event.Stats{Events: 10, Dropped: 5, Drops: map[event.Type]uint64{event.SYSCALL_READ_X: 1, event.SYSCALL_OPENAT_2_X: 4}})
	const want = "5 of 15 events were lost, as they came faster than they could be read: openat 4, read 1\n"
	if b.String() != want {
		t.Errorf("got %q", b.String())
	}
}
