package main

import (
	"fmt"
	"slices"
)

// spread is what several measurements of the same thing gave.
type spread []float64

// median returns the middle of the values, 0 if there are none.
func (s spread) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// deviation says how far the values lie apart, as a share of the median in
// percent: from the lowest to the highest.
func (s spread) deviation() string {
	m := s.median()
	if len(s) < 2 || m == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.0f %+.0f%%", 100*(slices.Min(s)/m-1), 100*(slices.Max(s)/m-1))
}

// over returns the median of s as a multiple of the median of base.
func (s spread) over(base spread) string {
	if len(s) == 0 || base.median() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f×", s.median()/base.median())
}
