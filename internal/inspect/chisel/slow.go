package chisel

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/inspect/unit"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// minTime is the argument of what is slow.
var minTime = Arg{Name: "min_ms", Type: Int, Doc: "Milliseconds that a call must take more than."}

var slowChisels = []Chisel{
	{Name: "bottlenecks", Category: "Performance", Short: "Slowest system calls",
		Doc: "The ten calls that took longest, with number and line of the event.", New: bottlenecks},
	{Name: "fileslower", Category: "Performance", Short: "Trace slow file I/O",
		Doc: "Reads and writes of files, those below /dev left out, that took longer than a limit.", Args: []Arg{minTime, plain}, New: slowIO(fileIO, "/dev/")},
	{Name: "netlower", Category: "Performance", Short: "Trace slow network I/O",
		Doc: "Reads from and writes to the network that took longer than a limit.", Args: []Arg{minTime, plain}, New: slowIO(netIO, "")},
	{Name: "scallslower", Category: "Performance", Short: "Trace slow syscalls",
		Doc: "System calls that took longer than a limit.", Args: []Arg{minTime, plain}, New: slowCalls},
	{Name: "proc_exec_time", Category: "Performance", Short: "Show process execution time",
		Doc:  "Each process that ends, with its lifetime, which is yellow from 3 seconds on and red from 10.",
		Args: []Arg{plain}, New: execTime},
}

// howMany is the number of calls that bottlenecks shows.
const howMany = 10

func bottlenecks(env *Env, _ Values) (*Run, error) {
	type call struct {
		latency uint64
		line    string
	}
	var slowest []call
	typ, args, process := env.read("evt.type"), env.read("evt.args"), env.read("proc.name")
	return &Run{
		Latency: true,
		Event: func(he *host.Event) error {
			latency := he.Latency
			if latency == 0 || he.Type() == event.SCHEDSWITCH_6_E || len(slowest) == howMany && latency <= slowest[howMany-1].latency {
				return nil
			}
			name, ok := process.lookup(he)
			if !ok {
				name = ""
			}
			b := strconv.AppendUint(nil, he.Num, 10)
			b = append(strconv.AppendUint(append(b, ") "...), latency/1e9, 10), '.')
			b = append(b, strconv.FormatUint(1e9+latency%1e9, 10)[1:]...)
			b = append(append(b, ' '), name...)
			b = append(strconv.AppendInt(append(b, " ("...), he.TID(), 10), ") < "...)
			b = append(append(b, typ.string(he)...), ' ')
			b = append(b, args.string(he)...)
			at, _ := slices.BinarySearchFunc(slowest, latency, func(c call, l uint64) int {
				if c.latency >= l { // equal ones stay in order
					return -1
				}
				return 1
			})
			slowest = slices.Insert(slowest, at, call{latency, string(b)})
			slowest = slowest[:min(len(slowest), howMany)]
			return nil
		},
		End: func(Moment, *host.State) error {
			for _, c := range slowest {
				if err := env.line("", "%s", c.line); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// column is a column of the tables that are printed line by line.
type column struct {
	title string
	width int // 0 for the rest of the line
	rule  int // dashes below the title if that is not the width
	cut   bool
	right bool
}

// tabular prints lines of columns under a title and a rule.
type tabular struct {
	env     *Env
	columns []column
	begun   bool
}

// withContainer puts the container in front of column at if it is wanted.
func (e *Env) withContainer(at int, columns ...column) *tabular {
	if e.Containers {
		columns = slices.Insert(columns, at, column{title: "container.id", width: 20, cut: true}, column{title: "container.name", width: 20, cut: true})
	}
	return &tabular{env: e, columns: columns}
}

// head prints title and rule, once.
func (t *tabular) head() error {
	if t.begun {
		return nil
	}
	t.begun = true
	var titles, rules []string
	for _, c := range t.columns {
		titles = append(titles, c.title)
		rules = append(rules, strings.Repeat("-", cmp.Or(c.rule, c.width)))
	}
	if err := t.row("", true, titles); err != nil {
		return err
	}
	return t.row("", true, rules)
}

func (t *tabular) row(color string, left bool, cells []string) error {
	var b strings.Builder
	for i, c := range t.columns {
		if i > 0 {
			b.WriteByte(' ')
		}
		text := cells[i]
		if c.cut {
			text = unit.Cut(text, c.width)
		}
		pad := strings.Repeat(" ", max(0, c.width-len(text)))
		if c.right && !left {
			text = pad + text
		} else {
			text += pad
		}
		b.WriteString(text)
	}
	return t.env.line(color, "%s", b.String())
}

// slowIO prints the I/O that a condition selects and that took longer than a
// limit, but not that of files below a folder.
func slowIO(condition, except string) func(*Env, Values) (*Run, error) {
	return func(env *Env, args Values) (*Run, error) {
		limit := uint64(args.number("min_ms", 0)) * uint64(time.Millisecond)
		at, name, process, typ := env.read("evt.datetime"), env.read("fd.name"), env.read("proc.name"), env.read("evt.type")
		container := newContainerNames(env)
		table := env.withContainer(1,
			column{title: "evt.datetime", width: 23, cut: true}, column{title: "proc.name", width: 12, cut: true},
			column{title: "evt.type", width: 8}, column{title: "LATENCY(ms)", width: 12, right: true}, column{title: "fd.name", rule: 41})
		return &Run{
			Condition: condition, Latency: true,
			Begin: table.head,
			Event: func(he *host.Event) error {
				path := name.string(he)
				if he.Latency <= limit || except != "" && strings.HasPrefix(path, except) {
					return nil
				}
				cells := []string{at.string(he), process.string(he), typ.string(he), strconv.FormatUint(he.Latency/1e6, 10), path}
				return table.print(he, container, 1, args, cells)
			},
		}, nil
	}
}

// print prints a line about an event, with the container at a place if it is wanted.
func (t *tabular) print(he *host.Event, container containerNames, at int, args Values, cells []string) error {
	id, name := container.of(he)
	if t.env.Containers {
		cells = slices.Insert(cells, at, id, name)
	}
	color := ""
	if t.env.colors(args) {
		color = hostColor(name)
	}
	return t.row(color, false, cells)
}

func slowCalls(env *Env, args Values) (*Run, error) {
	limit := uint64(args.number("min_ms", 0)) * uint64(time.Millisecond)
	at, process, typ := env.read("evt.datetime"), env.read("proc.name"), env.read("evt.type")
	container := newContainerNames(env)
	table := env.withContainer(1,
		column{title: "evt.datetime", width: 23, cut: true}, column{title: "proc.name", width: 23, cut: true},
		column{title: "LATENCY(ms)", width: 20}, column{title: "evt.type", rule: 20})
	return &Run{
		Latency: true,
		Begin:   table.head,
		Event: func(he *host.Event) error {
			if he.Latency <= limit {
				return nil
			}
			ms := strconv.FormatFloat(float64(he.Latency)/1e6, 'f', -1, 64)
			return table.print(he, container, 1, args, []string{at.string(he), process.string(he), ms, typ.string(he)})
		},
	}, nil
}

// The lifetimes from which on a process is worth a look.
const (
	longLife     = 3 * time.Second
	veryLongLife = 10 * time.Second
)

func execTime(env *Env, args Values) (*Run, error) {
	duration, process, arguments, container := env.read("proc.duration"), env.read("proc.name"), env.read("proc.args"), newContainerNames(env)
	table := env.withContainer(1, column{title: "proc.duration", width: 13, cut: true}, column{title: "proc.name", width: 12, cut: true}, column{title: "proc.args", rule: 20})
	return &Run{
		Condition: "evt.type=procexit",
		Begin:     table.head,
		Event: func(he *host.Event) error {
			n, ok := duration.number(he)
			if !ok {
				return nil
			}
			life := time.Duration(n)
			id, called := container.of(he)
			color := hostColor(called)
			switch {
			case !env.colors(args):
				color = ""
			case life > veryLongLife:
				color = red
			case life > longLife:
				color = yellow
			}
			cells := []string{unit.Time(life), process.string(he), arguments.string(he)}
			if env.Containers {
				cells = slices.Insert(cells, 1, id, called)
			}
			return table.row(color, false, cells)
		},
	}, nil
}
