package chisel

import (
	"fmt"

	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/host"
)

// overviewChisels make what the overview of a capture shows.
var overviewChisels = []Chisel{
	{Name: "wsysdig_summary", Category: "Filter", Hidden: true, Short: "Metrics of a whole capture, with their course over time",
		Doc: "Prints what an overview page shows as JSON: bytes, connections, commands, errors and more, in all and in each of the samples.",
		Args: []Arg{
			{Name: "sample_count", Type: Int, Doc: "Samples that the time is cut into."},
		}, New: overview},
}

// maxSamples bounds the memory of an overview.
const maxSamples = 10_000

func overview(env *Env, args Values) (*Run, error) {
	n := args.number("sample_count", 400)
	if n < 1 || n > maxSamples {
		return nil, fmt.Errorf("chisel wsysdig_summary: want 1 to %d samples, not %d", maxSamples, n)
	}
	s, err := view.NewSummary(view.SummaryOptions{Samples: int(n)})
	if err != nil {
		return nil, err
	}
	return &Run{
		Latency: true,
		Event: func(he *host.Event) error {
			s.Add(he)
			return nil
		},
		End: func(Moment, *host.State) error {
			b, err := s.Overview().JSON()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.Out, "{\"slices\":[\n{\"progress\": 0},\n%s\n]}\n", b)
			return err
		},
	}, nil
}
