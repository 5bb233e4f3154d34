package stream

import (
	"fmt"
	"io"
	"maps"
	"rollcage/internal/observe/event"
	"slices"
	"strings"
)

// DescribeLoss lists the numbers of lost events by type, the largest first.
func DescribeLoss(lost map[event.Type]uint64) string {
	types := slices.SortedFunc(maps.Keys(lost), func(a, b event.Type) int {
		if lost[a] != lost[b] {
			return int(min(lost[b], 1<<40)) - int(min(lost[a], 1<<40))
		}
		return int(a) - int(b)
	})
	words := make([]string, len(types))
	for i, t := range types {
		name := t.String()
		if info := t.Info(); info != nil {
			name = info.Name
		}
		words[i] = fmt.Sprintf("%s %d", name, lost[t])
	}
	return strings.Join(words, ", ")
}

// ReportLoss tells on w what was lost in all.
func ReportLoss(w io.Writer, s event.Stats) {
	if s.Dropped == 0 {
		return
	}
	fmt.Fprintf(w, "%d of %d events were lost, as they came faster than they could be read", s.Dropped, s.Dropped+s.Events)
	if len(s.Drops) > 0 {
		fmt.Fprintf(w, ": %s", DescribeLoss(s.Drops))
	}
	fmt.Fprintln(w)
}
