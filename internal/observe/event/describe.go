package event

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DescribeTypes lists numbers of events by type for people, the largest first:
// "openat 4, read 1".
func DescribeTypes(counts map[Type]uint64) string {
	types := slices.SortedFunc(maps.Keys(counts), func(a, b Type) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	words := make([]string, len(types))
	for i, t := range types {
		name := t.String()
		if info := t.Info(); info != nil {
			name = info.Name
		}
		words[i] = fmt.Sprintf("%s %d", name, counts[t])
	}
	return strings.Join(words, ", ")
}
