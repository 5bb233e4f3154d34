// Package chisel holds the built-in tools of the sysdig command: each looks at
// the events that a condition selects and prints lines, a table or a picture
// of them.
//
// A chisel is an entry of a table: what it is called, which arguments it
// takes, and a function that makes a [Run] of it. Whoever runs it hands each
// event to the run and tells it when time passes and when all is over.
// Memory is bounded however long a run takes, and nothing that an event holds
// reaches a terminal unless it is printable.
package chisel

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/host"
)

// Chisel describes a tool.
type Chisel struct {
	Name     string
	Category string // under which it is listed
	Short    string // one line
	Doc      string // what it prints, for a person who has never used it
	Args     []Arg
	Hidden   bool // not listed

	// New makes a run. The arguments were checked by Parse.
	New func(env *Env, args Values) (*Run, error)
}

// Env is what a run finds around it.
type Env struct {
	Out        io.Writer // for results; flushed by the caller
	Live       bool      // events come from the live host
	Terminal   bool      // Out is a terminal
	Colors     bool      // Out takes colours
	Width      int       // columns of the terminal
	Containers bool      // container names are wanted (-pc)
	JSON       bool      // results are wanted as JSON (-j)
	Filtered   bool      // the user gave a condition
	Style      *field.Style
	// Save reads the capture again and writes the events for which a condition
	// holds into a file. It is for End.
	Save func(path, condition string) error
}

// Moment is a point in the time of the events.
type Moment struct {
	Time uint64        // ns since the epoch
	Span time.Duration // since the moment before, or the first event
}

// Run is a chisel at work. It is used by one goroutine.
type Run struct {
	// Condition selects the events, "" for all.
	Condition string
	// Snaplen is how many bytes of I/O data the chisel wants kept, 0 for the usual.
	Snaplen int
	// Latency is set when the chisel looks at how long calls take.
	Latency bool
	// Every is the time between two ticks, 0 for none.
	Every time.Duration
	// Begin is called before the first event. It may be nil.
	Begin func() error
	// Event is called for each selected event. ErrEnd ends the capture.
	Event func(he *host.Event) error
	// Tick is called when a multiple of Every has passed. It may be nil.
	Tick func(m Moment) error
	// End is called when there are no more events. It may be nil.
	End func(m Moment, state *host.State) error
}

// ErrEnd is returned by Event when the chisel has seen enough.
var ErrEnd = errors.New("the chisel has seen enough")

// chisels is the table of all chisels.
var chisels = slices.Concat(ioChisels, spyChisels, slowChisels, stateChisels, securityChisels, httpChisels, pictureChisels, topChisels, overviewChisels, miscChisels)

// All returns the chisels that are listed, by category and name.
func All() []*Chisel {
	var out []*Chisel
	for i := range chisels {
		if !chisels[i].Hidden {
			out = append(out, &chisels[i])
		}
	}
	slices.SortFunc(out, func(a, b *Chisel) int {
		if a.Category != b.Category {
			return strings.Compare(a.Category, b.Category)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// Lookup returns the chisel with that name, or nil. The ending .lua, which
// scripts had, does not count.
func Lookup(name string) *Chisel {
	name = strings.TrimSuffix(name, ".lua")
	for i := range chisels {
		if chisels[i].Name == name {
			return &chisels[i]
		}
	}
	return nil
}
