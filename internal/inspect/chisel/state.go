package chisel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/unit"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

var stateFilter = []Arg{{Name: "filter", Type: Filter, Optional: true, Doc: "Condition that processes and descriptors must meet, for instance 'fd.name contains /etc'."}}

var stateChisels = []Chisel{
	{Name: "ps", Category: "System State", Short: "List (and optionally filter) the machine processes.",
		Doc: "Processes with their threads at the time of the first event that the condition of the command selects.", Args: stateFilter, New: ps},
	{Name: "lsof", Category: "System State", Short: "List (and optionally filter) the open file descriptors.",
		Doc: "Open descriptors at the time of the first event that the condition of the command selects.", Args: stateFilter, New: lsof},
	{Name: "netstat", Category: "System State", Short: "List (and optionally filter) network connections.",
		Doc: "Connections and listening sockets at the time of the first event that the condition of the command selects.", Args: stateFilter, New: netstat},
	{Name: "lscontainers", Category: "System State", Short: "List the running containers",
		Doc:  "Containers with type, image, name and id at the time of the first event that the condition of the command selects.",
		Args: []Arg{{Name: "desc", Type: String, Optional: true, Doc: "desc for a listing with every value in full."}}, New: lsContainers},
}

// atOnce is a run that looks at the state at the first selected event.
func atOnce(show func(state *host.State) error) *Run {
	return &Run{
		Event: func(*host.Event) error { return ErrEnd },
		End:   func(_ Moment, state *host.State) error { return show(state) },
	}
}

// Selection is a condition about threads and their descriptors, which need no event.
type Selection struct {
	prog *filter.Program
	cond filter.CondID
	all  bool
	ev   event.Event
	he   host.Event
}

// NewSelection compiles a condition, "" for one that all meet.
func NewSelection(condition string) (*Selection, error) {
	s := &Selection{prog: filter.NewProgram(), all: condition == ""}
	// Conditions are about events: one stands for what a thread may do with a descriptor.
	b, err := event.Append(nil, 0, 0, event.SYSCALL_READ_X)
	if err == nil {
		err = s.ev.Reset(b)
	}
	if s.all || err != nil {
		return s, err
	}
	node, err := filter.Parse(condition)
	if err == nil {
		s.cond, _, err = s.prog.Add(node)
	}
	if err != nil {
		return nil, fmt.Errorf("%s", filter.Explain(condition, err))
	}
	return s, nil
}

// event returns the event that stands for a thread and, if fd is not nil, its descriptor.
func (s *Selection) event(state *host.State, t *host.Thread, fd *host.FD) *host.Event {
	s.he = host.Event{Event: &s.ev, State: state, Thread: t, FD: fd, FDNum: -1}
	if fd != nil {
		s.he.FDNum = fd.Num
	}
	return &s.he
}

// fds returns the descriptors of a thread that are selected, and whether the thread is.
func (s *Selection) fds(state *host.State, t *host.Thread) (fds []*host.FD, ok bool) {
	for num, fd := range t.FDs.All() {
		he := s.event(state, t, fd)
		he.FDNum = num
		if s.all || s.prog.Eval(s.cond, he) {
			fds = append(fds, fd)
		}
	}
	return fds, s.all || len(fds) > 0
}

// Thread reports whether a thread is selected by what it is, whatever it has open.
func (s *Selection) Thread(state *host.State, t *host.Thread) bool {
	return s.all || s.prog.Eval(s.cond, s.event(state, t, nil))
}

func ps(env *Env, args Values) (*Run, error) {
	sel, err := NewSelection(args["filter"])
	if err != nil {
		return nil, err
	}
	user := env.read("user.name")
	return atOnce(func(state *host.State) error {
		if err := env.cells([]int{8, 8, 12, 11, 11, 10, 20}, "TID", "PID", "USER", "VIRT", "RES", "FDLIMIT", "CMD"); err != nil {
			return err
		}
		for t := range state.Threads() {
			if _, ok := sel.fds(state, t); !ok {
				continue
			}
			if err := env.cells([]int{8, 8, 12, 11, 11, 10, 0}, id(t.TID), id(t.PID), user.string(sel.event(state, t, nil)),
				unit.Bytes(float64(t.VMSize)*1024), unit.Bytes(float64(t.VMRSS)*1024), fdLimit(t), printable(t.Comm)); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

func fdLimit(t *host.Thread) string {
	if t.Inferred {
		return missing
	}
	return strconv.FormatUint(t.FDLimit, 10)
}

func lsof(env *Env, args Values) (*Run, error) {
	sel, err := NewSelection(args["filter"])
	if err != nil {
		return nil, err
	}
	user, typ, name := env.read("user.name"), env.read("fd.type"), env.read("fd.name")
	widths := []int{20, 8, 8, 8, 8, 12, 0}
	return atOnce(func(state *host.State) error {
		if err := env.cells(widths, "COMMAND", "PID", "TID", "USER", "FD", "TYPE", "NAME"); err != nil {
			return err
		}
		for t := range state.Threads() {
			fds, _ := sel.fds(state, t)
			owner := strings.Clone(user.string(sel.event(state, t, nil)))
			for _, fd := range fds {
				he := sel.event(state, t, fd)
				path, _ := name.lookup(he)
				if err := env.cells(widths, printable(t.Comm), id(t.PID), id(t.TID), owner, id(fd.Num), typ.string(he), path); err != nil {
					return err
				}
			}
		}
		return nil
	}), nil
}

func netstat(env *Env, args Values) (*Run, error) {
	condition := "(fd.type=ipv4 or fd.type=ipv6)"
	if args["filter"] != "" {
		condition += " and (" + args["filter"] + ")"
	}
	sel, err := NewSelection(condition)
	if err != nil {
		return nil, err
	}
	widths := []int{6, 25, 25, 15, 0}
	return atOnce(func(state *host.State) error {
		if err := env.cells(widths, "Proto", "Server Address", "Client Address", "State", "TID/PID/Program Name"); err != nil {
			return err
		}
		for t := range state.Threads() {
			fds, _ := sel.fds(state, t)
			for _, fd := range fds {
				server, client, word := endpoint(fd.Dest), endpoint(fd.Source), "ESTABLISHED"
				if fd.Type.IsServer() || !fd.Dest.IsValid() {
					server, client, word = endpoint(fd.Source), "0.0.0.0:*", "LISTEN"
				}
				who := id(t.TID) + "/" + id(t.PID) + "/" + printable(t.Comm)
				if err := env.cells(widths, cmp.Or(fd.Proto.String(), missing), server, client, word, who); err != nil {
					return err
				}
			}
		}
		return nil
	}), nil
}

func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return missing
	}
	return a.Addr().String() + ":" + strconv.Itoa(int(a.Port()))
}

func lsContainers(env *Env, args Values) (*Run, error) {
	if d := args["desc"]; d != "" && d != "desc" {
		return nil, fmt.Errorf("argument desc of chisel lscontainers: want desc, not %q", d)
	}
	return atOnce(func(state *host.State) error {
		var known []*host.Container
		for _, c := range state.Containers() {
			if c.Known {
				known = append(known, c)
			}
		}
		if args["desc"] != "" {
			return describeContainers(env, known)
		}
		widths := []int{15, 16, 20, 13}
		if err := env.cells(widths, "container.type", "container.image", "container.name", "container.id"); err != nil {
			return err
		}
		if err := env.cells(widths, slices.Repeat([]string{strings.Repeat("-", 20)}, len(widths))...); err != nil {
			return err
		}
		for _, c := range known {
			if err := env.cells(widths, c.Type.String(), printable(c.Image), printable(c.Name), c.ID); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// describeContainers prints each container with its values in full.
func describeContainers(env *Env, list []*host.Container) error {
	var b strings.Builder
	b.WriteString("{\n")
	for i, c := range list {
		fmt.Fprintf(&b, " %d = {\n", i+1)
		for _, v := range [][2]string{{"id", c.ID}, {"type", c.Type.String()}, {"image", c.Image}, {"name", c.Name}} {
			fmt.Fprintf(&b, "  %s = %s,\n", v[0], strconv.Quote(v[1]))
		}
		b.WriteString(" },\n")
	}
	b.WriteString("}")
	return env.line("", "%s", b.String())
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

// printable returns text without anything that a terminal would obey.
func printable(text string) string { return string(event.AppendPrintable(nil, text)) }

// cells prints a line of cells; one of width 0 is as long as it is.
func (e *Env) cells(widths []int, texts ...string) error {
	var b strings.Builder
	for i, text := range texts {
		if widths[i] == 0 {
			b.WriteString(text)
			continue
		}
		b.WriteString(unit.Cell(text, widths[i]))
	}
	return e.line("", "%s", b.String())
}
