package sysdig

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// summaryRows is how many types of events a summary shows.
const summaryRows = 100

// summary counts events by type, those of calls without type by call.
type summary struct {
	name   *field.Field
	value  field.Value
	counts map[string]uint64 // by direction and name
	types  [1024]uint64      // by type, for all that have one
}

func newSummary() (*summary, error) {
	f, err := field.Parse("evt.type", "", false)
	return &summary{name: f, counts: map[string]uint64{}}, err
}

func (s *summary) count(he *host.Event) {
	if t := he.Type(); t != event.GENERIC_X && t != event.GENERIC_E && int(t) < len(s.types) {
		s.types[t]++
		return
	}
	if s.name.Read(he, &s.value) {
		s.counts[direction(he.Type())+s.value.Str]++
	}
}

func direction(t event.Type) string {
	if t.IsEnter() {
		return "> "
	}
	return "< "
}

// print prints the table, the most frequent first.
func (s *summary) print(w io.Writer) error {
	for t, n := range s.types {
		if n > 0 {
			s.counts[direction(event.Type(t))+event.Type(t).Info().Name] += n
		}
	}
	names := make([]string, 0, len(s.counts))
	for n := range s.counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.counts[b], s.counts[a]), cmp.Compare(a, b))
	})
	rule := strings.Repeat("-", 22)
	if _, err := fmt.Fprintf(w, "%s\n%-16s#Calls\n%s\n", rule, "Event", rule); err != nil {
		return err
	}
	for _, n := range names[:min(len(names), summaryRows)] {
		if _, err := fmt.Fprintf(w, "%s%-16.16s%d\n", n[:2], n[2:], s.counts[n]); err != nil {
			return err
		}
	}
	return nil
}
