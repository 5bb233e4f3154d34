package api

import (
	"cmp"
	"slices"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
)

const (
	// maxLooked is in how many events of the window values are looked for: they
	// are an offer while somebody types, no count.
	maxLooked = 200_000
	// maxTold is how many values are told apart, maxOffered how many are given.
	maxTold    = 20_000
	maxOffered = 300
)

// offeredValues are values that a field has in the window, the most frequent first.
type offeredValues struct {
	Field  string   `json:"field"`
	Values []string `json:"values"`
}

// values answers with values that a field has in the first events of the window.
// They are as they are printed.
func (s *Server) values(q *request) error {
	x := question{cond: &condition{}}
	var err error
	if x.rec, err = s.capture(q); err != nil {
		return err
	}
	if x.window, err = q.window(); err != nil {
		return err
	}
	// A field is read as the text of a format, so that its argument is, too.
	name := q.text("field")
	f, err := filter.ParseFormat("%" + name)
	if err != nil || len(f.Fields()) != 1 {
		return badRequest("%q is no field", name)
	}
	f.SetStyle(&field.Style{Limit: 256})
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		counts, looked, buf := map[string]int{}, 0, []byte(nil)
		err := s.scan(q.r.Context(), &x, recording.Visitor{Event: func(he *host.Event) error {
			if looked++; looked > maxLooked {
				return recording.ErrStop
			}
			b, ok := f.Fields()[0].AppendText(buf[:0], he)
			if buf = b; !ok || len(b) == 0 {
				return nil
			}
			if _, known := counts[string(b)]; known || len(counts) < maxTold {
				counts[string(b)]++
			}
			return nil
		}}, nil)
		if err != nil {
			return nil, err
		}
		return st.end(offeredValues{name, mostFrequent(counts, maxOffered)})
	})
}

// mostFrequent returns the n values that were counted most.
func mostFrequent(counts map[string]int, n int) []string {
	out := make([]string, 0, len(counts))
	for v := range counts {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	return out[:min(n, len(out))]
}
