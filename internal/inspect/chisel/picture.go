package chisel

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/inspect/unit"
	"rollcage/internal/observe/host"
)

var refreshTime = []Arg{{Name: "refresh_time", Type: Int, Optional: true, Doc: "Milliseconds for which a line stands."}}

var pictureChisels = []Chisel{
	{Name: "spectrogram", Category: "CPU Usage", Short: "Visualize OS latency in real time.",
		Doc:  "A line each half second: from left to right how long calls took, from 1 ns to 100 s; the colour, from green over yellow to red, tells how many. For terminals.",
		Args: refreshTime, New: spectrogram},
	{Name: "subsecoffset", Category: "CPU Usage", Short: "Visualize subsecond offset execution time.",
		Doc:  "A line each second: from left to right the moments within it; the colour, from green over yellow to red, tells how many calls were made. For terminals.",
		Args: refreshTime, New: subsecOffset},
}

// heat are the colours of cells, of the 256 that terminals have, from few to many.
var heat = [...]int{22, 28, 34, 40, 46, 82, 118, 154, 190, 226, 220, 214, 208, 202, 196, 197, 198, 199, 200, 201}

// heatBase is the base of the logarithm of calls a second that a step of colour stands for.
const heatBase = 1.6

// heatMap prints lines of cells whose colours tell numbers of calls, over a scale.
type heatMap struct {
	env    *Env
	counts []float64
	every  time.Duration
	begun  bool
	scale  string
}

func newHeatMap(env *Env, every time.Duration) (*heatMap, error) {
	if !env.Terminal {
		return nil, errors.New("this chisel only works on ANSI terminals")
	}
	if every <= 0 {
		return nil, errors.New("argument refresh_time must not be 0")
	}
	return &heatMap{env: env, every: every, counts: make([]float64, max(env.Width, 20))}, nil
}

// count adds a call at a place from 0 up to 1.
func (h *heatMap) count(at float64) {
	h.counts[min(int(at*float64(len(h.counts))), len(h.counts)-1)]++
}

// print prints a line over the scale, in place of the scale before it.
func (h *heatMap) print(Moment) error {
	var b strings.Builder
	if h.begun {
		b.WriteString("\x1b[1F\x1b[2K")
	}
	h.begun = true
	for i, n := range h.counts {
		if n == 0 {
			b.WriteString(reset + " ")
			continue
		}
		step := math.Log(n/h.every.Seconds()+1) / math.Log(heatBase)
		fmt.Fprintf(&b, "\x1b[48;5;%dm ", heat[min(max(int(step)-1, 0), len(heat)-1)])
		h.counts[i] = 0
	}
	b.WriteString(reset + "\n" + h.scale + "\n")
	_, err := h.env.Out.Write([]byte(b.String()))
	return err
}

// mark writes the label of a place from 0 up to 1 into the scale, unless it has no room.
func (h *heatMap) mark(at float64, label string) {
	place := int(at * float64(len(h.counts)))
	if place < len(h.scale) || place+len(label) >= len(h.counts) {
		return
	}
	h.scale += strings.Repeat(" ", place-len(h.scale)) + "|" + label
}

// decades are the powers of ten of ns that a spectrogram spans.
const decades = 11

func spectrogram(env *Env, args Values) (*Run, error) {
	h, err := newHeatMap(env, time.Duration(args.number("refresh_time", 500))*time.Millisecond)
	if err != nil {
		return nil, err
	}
	for d := range decades {
		h.mark(float64(d)/decades, unit.Time(time.Duration(math.Pow10(d))))
	}
	return &Run{
		Condition: "evt.dir=<", Latency: true, Every: h.every,
		Event: func(he *host.Event) error {
			if he.Latency > 0 {
				h.count(math.Log10(float64(he.Latency)) / decades)
			}
			return nil
		},
		Tick: h.print,
		End:  func(m Moment, _ *host.State) error { return h.print(m) },
	}, nil
}

func subsecOffset(env *Env, args Values) (*Run, error) {
	h, err := newHeatMap(env, time.Duration(args.number("refresh_time", 1000))*time.Millisecond)
	if err != nil {
		return nil, err
	}
	for d := range 10 {
		h.mark(float64(d)/10, strconv.FormatFloat(h.every.Seconds()*100*float64(d), 'f', -1, 64)+"ms")
	}
	every := uint64(h.every)
	return &Run{
		Every: h.every,
		Begin: func() error {
			return env.line("", "System calls by their moment; red is many, green is few.\n")
		},
		Event: func(he *host.Event) error {
			if isCall(he) {
				// The events are the ends of calls: what counts is when they began.
				h.count(float64((he.Time()-min(he.Latency, he.Time()))%every) / float64(every))
			}
			return nil
		},
		Tick: h.print,
	}, nil
}
