package screen

import (
	"math"

	"github.com/gdamore/tcell/v2"

	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/view"
)

// heat are the colours of few to many calls, of the 256 that terminals share.
var heat = []int{22, 28, 34, 40, 46, 82, 118, 154, 190, 226, 220, 214, 208, 202, 196}

// drawSpectrogram shows a line for each sample, the newest last: to the right
// calls that took longer, in the colour of how many they were.
func (m *model) drawSpectrogram(s tcell.Screen, w int) {
	put(s, 0, 2, w, header, "", false)
	for decade := uint64(0); decade*field.StepsPerDecade < field.LatencySteps; decade++ {
		step := decade*field.StepsPerDecade + 1
		if x := column(step, w); x < w {
			text := string(field.AppendDuration(nil, view.StepStart(step)))
			put(s, x, 2, min(len(text), w-x), header, text, false)
		}
	}
	if len(m.samples) == 0 {
		put(s, 1, 4, w-1, dim, "collecting …", false)
	}
	for y := 0; y < m.height && m.top+y < len(m.samples); y++ {
		counts := make([]uint64, w)
		for _, r := range m.samples[m.top+y].Rows {
			if x := column(r.Cells[0].Num, w); x < w {
				counts[x] += r.Cells[1].Num
			}
		}
		for x, n := range counts {
			if n > 0 {
				s.PutStrStyled(x, 3+y, " ", plain.Background(tcell.PaletteColor(heat[warmth(n)])))
			}
		}
	}
}

// column returns where a step of latency is on a screen of w columns.
func column(step uint64, w int) int {
	return int(max(step, 1)-1) * w / field.LatencySteps
}

// warmth returns the colour of a number of calls: one for each doubling.
func warmth(n uint64) int { return min(int(math.Log2(float64(n))), len(heat)-1) }
