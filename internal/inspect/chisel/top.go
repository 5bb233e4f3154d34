package chisel

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// ranker is a chisel that sums up a field for each value of other fields and
// prints the highest sums.
type ranker struct {
	keys     []Heading
	wide     []Heading // the keys where containers are told apart; nil for the same
	value    Heading
	where    string
	top      int
	unit     Unit
	perValue float64 // what one of the field is of the unit, 0 for 1
}

// The keys and values of the chisels.
var (
	ofFile      = []Heading{{"fd.name", "Filename"}}
	ofProcess   = []Heading{{"proc.name", "Process"}, {"proc.pid", "PID"}}
	ofInside    = []Heading{{"proc.name", "Process"}, {"proc.pid", "Host_pid"}, {"thread.vtid", "Container_pid"}, inContainer}
	ofContainer = []Heading{inContainer}
	inContainer = Heading{"container.name", "container.name"}
	ioBytesSum  = Heading{"evt.rawarg.res", "Bytes"}
	timeSum     = Heading{"evt.latency", "Time"}
	errorSum    = Heading{"evt.count", "#Errors"}
	cpuSum      = Heading{"thread.cpu", "CPU%"}
)

const (
	notHost = " and container.name!=host"
	failed  = "evt.failed=true"
	// sampled are the events in which old captures have what each process used of the processors.
	sampled = "evt.type=procinfo"
	percent = 1e7 // ns of a second
)

// ranked lists the chisels that are nothing but a ranking.
var rankers = []struct {
	name, category, short, doc string
	ranker
}{
	{"topfiles_bytes", "I/O", "Top files by R+W bytes", "Files by the bytes that were read from and written to them.",
		ranker{ofFile, []Heading{inContainer, ofFile[0]}, ioBytesSum, fileIO, 10, UnitBytes, 0}},
	{"topfiles_time", "I/O", "Top files by time", "Files by the time that was spent in reading and writing them.",
		ranker{ofFile, []Heading{ofFile[0], inContainer}, timeSum, fileIO, 10, UnitTime, 0}},
	{"topfiles_errors", "Errors", "Top files by number of errors", "Files by the calls on them that failed.",
		ranker{ofFile, []Heading{ofFile[0], inContainer}, errorSum, "fd.type=file and " + failed, 100, UnitNone, 0}},
	{"topprocs_file", "I/O", "Top processes by R+W disk bytes", "Processes by the bytes that they read from and wrote to files.",
		ranker{ofProcess, ofInside, ioBytesSum, fileIO, 10, UnitBytes, 0}},
	{"topprocs_net", "Net", "Top processes by network I/O", "Processes by the bytes that they received from and sent to the network.",
		ranker{ofProcess, ofInside, ioBytesSum, netIO, 100, UnitBytes, 0}},
	{"topprocs_errors", "Errors", "top processes by number of errors", "Processes by the calls that failed.",
		ranker{ofProcess, ofInside, errorSum, failed, 100, UnitNone, 0}},
	{"topprocs_cpu", "CPU Usage", "Top processes by CPU usage", "Processes by their share of the processors, from the samples that captures of sysdig hold.",
		ranker{ofProcess, []Heading{ofInside[0], ofInside[1], {"proc.vpid", "Container_pid"}, inContainer}, cpuSum, sampled, 10, UnitTimePct, percent}},
	{"topcontainers_file", "I/O", "Top containers by R+W disk bytes", "Containers by the bytes that they read from and wrote to files.",
		ranker{ofContainer, nil, ioBytesSum, fileIO + notHost, 10, UnitBytes, 0}},
	{"topcontainers_net", "Net", "Top containers by network I/O", "Containers by the bytes that they received from and sent to the network.",
		ranker{ofContainer, nil, ioBytesSum, netIO + notHost, 100, UnitBytes, 0}},
	{"topcontainers_error", "Errors", "Top containers by number of errors", "Containers by the calls that failed.",
		ranker{ofContainer, nil, errorSum, failed + notHost, 100, UnitNone, 0}},
	{"topcontainers_cpu", "CPU Usage", "Top containers by CPU usage", "Containers by their share of the processors, from the samples that captures of sysdig hold.",
		ranker{ofContainer, nil, cpuSum, sampled, 10, UnitTimePct, percent}},
	{"topconns", "Net", "Top network connections by total bytes", "Connections by the bytes that went over them.",
		ranker{[]Heading{{"fd.l4proto", "Proto"}, {"fd.name", "Conn"}}, []Heading{inContainer, {"fd.l4proto", "Proto"}, {"fd.name", "Conn"}}, ioBytesSum, netIO, 30, UnitBytes, 0}},
	{"topports_server", "Net", "Top TCP/UDP server ports by R+W bytes", "Ports of servers by the bytes that went through them.",
		ranker{[]Heading{{"fd.sport", "Srv Port"}}, []Heading{{"fd.sport", "Srv Port"}, inContainer}, ioBytesSum, netIO, 30, UnitBytes, 0}},
	{"topscalls", "Performance", "Top system calls by number of calls", "System calls by how often they were made.",
		ranker{[]Heading{{"evt.type", "Syscall"}}, []Heading{{"evt.type", "Syscall"}, inContainer}, Heading{"evt.count", "# Calls"}, "evt.type!=switch", 30, UnitNone, 0}},
	{"topscalls_time", "Performance", "Top system calls by time", "System calls by the time that was spent in them.",
		ranker{[]Heading{{"evt.type", "Syscall"}}, []Heading{{"evt.type", "Syscall"}, inContainer}, timeSum, "", 30, UnitTime, 0}},
}

// topChisels are the rankings, and those of which the user chooses the fields.
var topChisels = func() []Chisel {
	out := []Chisel{
		{Name: "fdbytes_by", Category: "I/O", Short: "I/O bytes, aggregated by an arbitrary filter field",
			Doc:  "The bytes that were read and written, for each value of a field: of a file (fd.name), a port (fd.sport), a process (proc.name) and so on.",
			Args: []Arg{{Name: "key", Type: String, Doc: "Field to group by."}},
			New:  byKey(ranker{value: ioBytesSum, where: "evt.is_io=true and evt.failed=false", top: 30, unit: UnitBytes})},
		{Name: "fdtime_by", Category: "I/O", Short: "FD time group by",
			Doc:  "The time that was spent in reading and writing, for each value of a field.",
			Args: []Arg{{Name: "key", Type: String, Doc: "Field to group by."}},
			New:  byKey(ranker{value: timeSum, where: anyIO, top: 10, unit: UnitTime})},
		{Name: "table_generator", Category: "Filter", Hidden: true, Short: "Filter on a key and value",
			Doc: "Sums up a field for each value of other fields and prints the highest sums; the other top chisels are made of it.",
			Args: []Arg{
				{Name: "keys", Type: String, Doc: "Fields to group by, with commas between."},
				{Name: "keydescs", Type: String, Doc: "Titles of their columns, with commas between."},
				{Name: "value", Type: String, Doc: "Field to sum up."},
				{Name: "valuedesc", Type: String, Doc: "Title of its column."},
				{Name: "filter", Type: String, Doc: "Condition of the events, which may be empty."},
				{Name: "top_number", Type: Int, Doc: "Rows, 0 for all."},
				{Name: "value_units", Type: String, Doc: "none, bytes, time or timepct."},
			}, New: anyTable},
	}
	for i := range rankers {
		r := &rankers[i]
		out = append(out, Chisel{Name: r.name, Category: r.category, Short: r.short, Doc: r.doc,
			New: func(env *Env, _ Values) (*Run, error) { return r.run(env) }})
	}
	return out
}()

func byKey(r ranker) func(*Env, Values) (*Run, error) {
	return func(env *Env, args Values) (*Run, error) {
		own := r
		own.keys = []Heading{{args["key"], args["key"]}}
		return own.run(env)
	}
}

func anyTable(env *Env, args Values) (*Run, error) {
	fields, titles := strings.Split(args["keys"], ","), strings.Split(args["keydescs"], ",")
	if len(fields) != len(titles) {
		return nil, fmt.Errorf("chisel table_generator: %d keys have %d titles", len(fields), len(titles))
	}
	r := ranker{value: Heading{args["value"], args["valuedesc"]}, where: args["filter"], top: int(args.number("top_number", 0)), unit: Unit(args["value_units"])}
	if !slices.Contains([]Unit{UnitNone, UnitBytes, UnitTime, UnitTimePct}, r.unit) {
		return nil, fmt.Errorf("chisel table_generator: want none, bytes, time or timepct as unit, not %q", r.unit)
	}
	for i := range fields {
		r.keys = append(r.keys, Heading{fields[i], titles[i]})
	}
	return r.run(env)
}

func (r *ranker) run(env *Env) (*Run, error) {
	headings := r.keys
	if env.Containers && r.wide != nil {
		headings = r.wide
	}
	var keys []*reader
	for _, h := range headings {
		k, err := env.readAny(h.Field)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	value, err := env.readAny(r.value.Field)
	if err != nil {
		return nil, err
	}
	s := &sums{keys: keys, value: value, rows: map[string]*float64{}, scale: r.perValue}
	if s.scale == 0 {
		s.scale = 1
	}
	table := &Table{Keys: headings, Value: r.value, Unit: r.unit, Top: r.top, env: env}
	show := func(m Moment) error { return s.show(m, table) }
	run := &Run{
		Condition: r.where, Latency: r.value.Field == timeSum.Field, Event: s.add,
		End: func(m Moment, _ *host.State) error { return show(m) },
	}
	if env.Live {
		run.Every, run.Tick = time.Second, show
	}
	return run, nil
}

// sums are the rows of a ranking.
type sums struct {
	keys  []*reader
	value *reader
	scale float64
	rows  map[string]*float64
	key   []byte
	left  int // events left out for lack of room
}

func (s *sums) add(he *host.Event) error {
	v := s.value.get(he)
	if v == nil {
		return nil
	}
	n := float64(int64(v.Num))
	if s.value.field.Type == event.TypeDouble {
		n = v.Float
	}
	if n < 0 || n == 0 && s.value.field.Type != event.TypeDouble {
		return nil
	}
	s.key = s.key[:0]
	for i, k := range s.keys {
		text, ok := k.lookup(he)
		if !ok {
			return nil
		}
		if i > 0 {
			s.key = append(s.key, keySeparator...)
		}
		s.key = append(s.key, text...)
	}
	sum := s.rows[string(s.key)]
	switch {
	case sum != nil:
		*sum += n * s.scale
	case len(s.rows) >= maxGroups:
		s.left++
	default:
		n *= s.scale
		s.rows[string(s.key)] = &n
	}
	return nil
}

// show prints the rows and starts again.
func (s *sums) show(m Moment, t *Table) error {
	rows := make(map[string]float64, len(s.rows))
	for k, v := range s.rows {
		rows[k] = *v
	}
	clear(s.rows)
	if err := t.Print(m, rows); err != nil || s.left == 0 {
		return err
	}
	left := s.left
	s.left = 0
	return t.env.line("", "(%s more events belong to rows that there was no room for)", strconv.Itoa(left))
}
