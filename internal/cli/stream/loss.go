package stream

import (
	"fmt"
	"io"

	"rollcage/internal/observe/event"
)

// ReportLoss tells on w what was lost in all.
func ReportLoss(w io.Writer, s event.Stats) {
	if s.Dropped == 0 {
		return
	}
	fmt.Fprintf(w, "%d of %d events were lost, as they came faster than they could be read", s.Dropped, s.Dropped+s.Events)
	if len(s.Drops) > 0 {
		fmt.Fprintf(w, ": %s", event.DescribeTypes(s.Drops))
	}
	fmt.Fprintln(w)
}
