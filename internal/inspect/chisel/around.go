package chisel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rollcage/internal/observe/host"
)

var miscChisels = []Chisel{
	{Name: "around", Category: "Misc", Short: "Export to file the events around the time range where the given filter matches.",
		Doc:  "Saves, for each event for which the condition of the command holds, the events of the same thread before and after it. For capture files.",
		Args: dumpArgs(false), New: around},
}

// dumpArgs are the arguments of chisels that save events.
func dumpArgs(optional bool) []Arg {
	return []Arg{
		{Name: "dump_file_name", Type: String, Optional: optional, Doc: "Capture file to write."},
		{Name: "dump_range_ms", Type: Int, Optional: true, Doc: "Milliseconds before and after each event, 1000 unless given."},
	}
}

// maxMarks bounds the events around which others are saved: each is a part of
// the condition that the capture is read with again.
const maxMarks = 10_000

// dump saves the events around others into a capture file.
type dump struct {
	env     *Env
	path    string // "" for nothing to do
	ms      int64
	marks   []mark
	refused int
}

// mark is an event around which others are saved.
type mark struct {
	time uint64
	tid  int64
}

func newDump(env *Env, args Values) (*dump, error) {
	d := &dump{env: env, path: args["dump_file_name"], ms: args.number("dump_range_ms", 1000)}
	if d.path != "" && env.Live {
		return nil, errors.New("events around others can be saved from a capture only; record one with -w and read it with -r")
	}
	return d, nil
}

func (d *dump) add(he *host.Event) {
	switch {
	case d.path == "":
	case len(d.marks) >= maxMarks:
		d.refused++
	default:
		d.marks = append(d.marks, mark{he.Time(), he.TID()})
	}
}

// write saves the events, after a line that says around how many.
func (d *dump) write(format string) error {
	if d.path == "" {
		return nil
	}
	if _, err := fmt.Fprintf(d.env.Out, format, len(d.marks)); err != nil {
		return err
	}
	if len(d.marks) > 0 {
		if err := d.env.Save(d.path, d.condition()); err != nil {
			return err
		}
	}
	if d.refused > 0 {
		return fmt.Errorf("events around the first %d matches were saved; a condition that matches less would leave out none of the other %d", maxMarks, d.refused)
	}
	return nil
}

func (d *dump) condition() string {
	var b strings.Builder
	for i, m := range d.marks {
		if i > 0 {
			b.WriteString(" or ")
		}
		fmt.Fprintf(&b, "(evt.around[%d]=%d and thread.tid=%d)", m.time, d.ms, m.tid)
	}
	return b.String()
}

func around(env *Env, args Values) (*Run, error) {
	if !env.Filtered {
		return nil, errors.New("chisel around needs a condition: around which events shall others be saved?")
	}
	if env.Live {
		return nil, errors.New("chisel around reads a capture, which -r names; it cannot look back on the live host")
	}
	d, err := newDump(env, args)
	if err != nil {
		return nil, err
	}
	process, at, tid := env.read("proc.name"), env.read("evt.time"), env.read("thread.tid")
	return &Run{
		Event: func(he *host.Event) error {
			d.add(he)
			return env.line("", "%s %s(%s)", at.string(he), process.string(he), tid.string(he))
		},
		End: func(Moment, *host.State) error {
			return d.write("\nSaving events around %d entries to " + strings.ReplaceAll(strconv.Quote(d.path), "%", "%%") + "\n")
		},
	}, nil
}
