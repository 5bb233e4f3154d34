package cli

import (
	"testing"

	"rollcage/internal/detect/filter"
)

func TestAViewOfEventsMeasuresLatencyOnlyIfItsConditionLooksAtIt(t *testing.T) {
	for condition, want := range map[string]bool{"evt.latency > 1000000": true, "proc.name = nginx": false} {
		n, err := filter.Parse(condition)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&feed{node: n}).interest().Latency; got != want {
			t.Errorf("%s: latency measured: %v, want %v", condition, got, want)
		}
	}
}
