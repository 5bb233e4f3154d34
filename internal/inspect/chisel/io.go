package chisel

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/unit"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The conditions of I/O.
const (
	anyIO  = "evt.is_io=true"
	fileIO = "evt.is_io=true and fd.type=file"
	netIO  = "evt.is_io=true and (fd.type=ipv4 or fd.type=ipv6)"
)

var ioChisels = []Chisel{
	{Name: "iobytes", Category: "I/O", Short: "Sum of I/O bytes on any type of FD",
		Doc: "Each second, the bytes that were read from and written to files, sockets, pipes and all else.", New: ioBytes(anyIO)},
	{Name: "iobytes_file", Category: "I/O", Short: "Sum of file I/O bytes",
		Doc: "Each second, the bytes that were read from and written to files.", New: ioBytes(fileIO)},
	{Name: "iobytes_net", Category: "Net", Short: "Show total network I/O bytes",
		Doc: "Each second, the bytes that were received from and sent to the network.", New: ioBytes(netIO)},
	{Name: "fdcount_by", Category: "I/O", Short: "FD count, aggregated by an arbitrary filter field",
		Doc:  "How many different descriptors were used, for each value of a field: connections of a process (proc.name), of an address (fd.cip) and so on.",
		Args: []Arg{{Name: "key", Type: String, Doc: "Field to group by."}}, New: fdCount},
	{Name: "echo_fds", Category: "I/O", Short: "Print the data read and written by processes.",
		Doc:  "The data of each read and write, under a line with its direction, size, descriptor and process. Best with a condition.",
		Args: []Arg{plain}, New: echoFDs},
	{Name: "stdin", Category: "I/O", Short: "Print stdin of processes",
		Doc: "What processes read from and write to their descriptor 0.", New: standardStream(0)},
	{Name: "stdout", Category: "I/O", Short: "Print stdout of processes",
		Doc: "What processes read from and write to their descriptor 1.", New: standardStream(1)},
	{Name: "stderr", Category: "I/O", Short: "Print stderr of processes",
		Doc: "What processes read from and write to their descriptor 2.", Args: []Arg{plain}, New: standardStream(2)},
}

// ioBytes sums up the bytes of the events that a condition selects, second by second.
func ioBytes(condition string) func(*Env, Values) (*Run, error) {
	return func(env *Env, _ Values) (*Run, error) {
		bytes, isRead := env.read("evt.rawarg.res"), env.read("evt.is_io_read")
		var in, out int64
		return &Run{
			Condition: condition, Every: time.Second,
			Event: func(he *host.Event) error {
				n, ok := bytes.number(he)
				switch {
				case !ok || n <= 0:
				case isRead.is(he):
					in += n
				default:
					out += n
				}
				return nil
			},
			Tick: func(m Moment) error {
				err := env.line("", "%s in:%d out:%d tot:%d", field.ClockTime(m.Time), in, out, in+out)
				in, out = 0, 0
				return err
			},
		}, nil
	}
}

// maxGroups bounds the groups of fdcount_by and the descriptors of each.
const maxGroups = 100_000

// fdCount counts the different descriptors for each value of a field.
func fdCount(env *Env, args Values) (*Run, error) {
	key, err := env.readAny(args["key"])
	if err != nil {
		return nil, err
	}
	type fd struct {
		num  int64
		name string
	}
	groups, known, refused := map[string]map[fd]bool{}, 0, 0
	return &Run{
		Event: func(he *host.Event) error {
			if he.FD == nil || he.FDNum <= 0 || he.FD.Name == "" {
				return nil
			}
			k, ok := key.lookup(he)
			if !ok {
				return nil
			}
			group := groups[k]
			switch {
			case group[fd{he.FDNum, he.FD.Name}]:
				return nil
			case known >= maxGroups:
				refused++
				return nil
			case group == nil:
				group = map[fd]bool{}
				groups[string([]byte(k))] = group
			}
			group[fd{he.FDNum, string([]byte(he.FD.Name))}] = true
			known++
			return nil
		},
		End: func(Moment, *host.State) error {
			keys := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
				return cmp.Or(cmp.Compare(len(groups[b]), len(groups[a])), cmp.Compare(a, b))
			})
			for _, k := range keys {
				if err := env.line("", "%s\t%d", k, len(groups[k])); err != nil {
					return err
				}
			}
			if refused > 0 {
				return fmt.Errorf("%d descriptors were counted; %d more events were not, as they are too many", known, refused)
			}
			return nil
		},
	}, nil
}

// echoFDs prints the data of reads and writes.
func echoFDs(env *Env, args Values) (*Run, error) {
	isRead, data := env.read("evt.is_io_read"), env.read("evt.arg.data")
	name, process, container := env.read("fd.name"), env.read("proc.name"), newContainerNames(env)
	colors := env.colors(args)
	paint := func(color string) string {
		if colors {
			return color
		}
		return ""
	}
	return &Run{
		Condition: "evt.is_io=true and evt.dir=< and evt.rawres>0", Snaplen: 2000,
		Event: func(he *host.Event) error {
			n, ok := he.Result()
			if !ok || n <= 0 {
				return nil
			}
			color, verb, where := blue, "Write", "to"
			if isRead.is(he) {
				color, verb, where = red, "Read", "from"
			}
			inside := ""
			if env.Containers {
				id, called := container.of(he)
				c := green
				if called != "host" {
					c = cyan
				}
				inside = fmt.Sprintf("%s [%s] [%s]", paint(c), called, id)
			}
			if err := env.line("", "%s------ %s %s %s %s %s %s (%s)%s", paint(color), verb, unit.Bytes(float64(n)), where, inside,
				paint(color), name.string(he), process.string(he), paint(reset)); err != nil {
				return err
			}
			if text, ok := data.lookup(he); ok {
				return env.line("", "%s", text)
			}
			return nil
		},
	}, nil
}

// containerNames reads the id and the name of the container.
type containerNames struct{ id, name *reader }

func newContainerNames(env *Env) containerNames {
	return containerNames{env.read("container.id"), env.read("container.name")}
}

// of returns id and name as the tables show them: "host" for both on the host.
func (c containerNames) of(he *host.Event) (id, name string) {
	return c.id.string(he), c.name.string(he)
}

// standardStream prints the data that goes through a descriptor.
func standardStream(num int) func(*Env, Values) (*Run, error) {
	return func(env *Env, args Values) (*Run, error) {
		data, container := env.read("evt.rawarg.data"), newContainerNames(env)
		return &Run{
			Condition: fmt.Sprintf("fd.num=%d and evt.is_io=true", num), Snaplen: 2000,
			Event: func(he *host.Event) error {
				b, ok := data.raw(he)
				if !ok && dataParams[he.Type()] < 0 {
					return nil
				}
				if num != 2 || !env.Containers {
					return env.data(b)
				}
				id, name := container.of(he)
				color, end := "", ""
				if env.colors(args) {
					color, end = hostColor(name), reset
				}
				if _, err := fmt.Fprintf(env.Out, "%s%-20.20s %-20.20s%s ", color, id, name, end); err != nil {
					return err
				}
				return env.data(b)
			},
		}, nil
	}
}

// dataParams is where each type of event has its data, -1 for nowhere.
var dataParams = func() []int {
	var out []int
	for _, i := range event.All() {
		out = append(out, i.ParamIndex("data"))
	}
	return out
}()

// isCall reports whether the event is of a system call.
func isCall(he *host.Event) bool { return he.Info().Origin == event.OriginSyscall }
