package chisel

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

func TestEveryChiselSaysWhatItIs(t *testing.T) {
	seen := map[string]bool{}
	for i := range chisels {
		c := &chisels[i]
		if seen[c.Name] || c.Name == "" || c.Category == "" || c.Short == "" || !strings.HasSuffix(c.Doc, ".") {
			t.Errorf("%q is there twice or lacks a description", c.Name)
		}
		seen[c.Name] = true
		optional := false
		for _, a := range c.Args {
			if optional && !a.Optional {
				t.Errorf("%s: %s must be given, but what stands before it need not be", c.Name, a.Name)
			}
			optional = a.Optional
		}
	}
}

func TestEveryConditionOfAChiselCompiles(t *testing.T) {
	given := map[string]string{"key": "fd.name", "min_ms": "1", "host_ip": "::1", "host_port": "80", "dump_file_name": "x",
		"keys": "proc.name", "keydescs": "Name", "value": "evt.count", "valuedesc": "N", "top_number": "3", "value_units": "none"}
	for i := range chisels {
		c := &chisels[i]
		args := Values{}
		for _, a := range c.Args {
			if v, ok := given[a.Name]; ok {
				args[a.Name] = v
			}
		}
		for _, containers := range []bool{false, true} {
			run, err := c.New(&Env{Out: &bytes.Buffer{}, Terminal: true, Width: 80, Containers: containers, Filtered: true}, args)
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
			} else if err := compiles(run.Condition); run.Condition != "" && err != nil {
				t.Errorf("%s: %q: %v", c.Name, run.Condition, err)
			}
		}
	}
}

func TestArgumentsOfChisels(t *testing.T) {
	for _, c := range []struct{ chisel, text, want string }{
		{"fileslower", "10", "min_ms=10"},
		{"fileslower", "10 disable_colors", "disable_color=disable_colors min_ms=10"},
		{"fileslower", "", "error: missing arguments"},
		{"fileslower", "-1", `error: argument min_ms of chisel fileslower: "-1" is not a number`},
		{"spy_file", "", ""},
		{"spy_file", "R '/tmp/a b'", "read_or_write=R spy_on_file_name=/tmp/a b"},
		{"spy_file", "R a b", "error: too many parameters"},
		{"spy_file", "R 'a", "error: arguments of chisel spy_file: the quote ' is not closed"},
		{"spy_logs", "disable_colors", "disable_color=disable_colors"},
		{"lsof", "fd.type=ipv4 and fd.port=22", "filter=fd.type=ipv4 and fd.port=22"},
		{"lsof", "'fd.type=ipv4'", "filter=fd.type=ipv4"},
		{"lsof", "fd.type=", "error: argument filter"},
		{"spy_ip", "10.0.0.1", "host_ip=10.0.0.1"},
		{"spy_ip", "fe80::1", "host_ip=fe80::1"},
		{"spy_ip", "1=1 or fd.port", "error: "},
	} {
		v, err := Lookup(c.chisel).Parse(c.text)
		var words []string
		for _, k := range sortedKeys(v) {
			words = append(words, k+"="+v[k])
		}
		got := strings.Join(words, " ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want && !(strings.HasPrefix(c.want, "error") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s %q: got %q, want %q", c.chisel, c.text, got, c.want)
		}
	}
}

func sortedKeys(v Values) []string {
	var keys []string
	for _, k := range []string{"disable_color", "filter", "host_ip", "min_ms", "read_or_write", "spy_on_file_name"} {
		if _, ok := v[k]; ok {
			keys = append(keys, k)
		}
	}
	return keys
}

func TestTheWordAfterAChiselIsItsArgumentsOrTheCondition(t *testing.T) {
	for _, c := range []struct {
		chisel, word string
		want         bool
	}{
		{"topscalls", "evt.type=read", false}, {"fileslower", "10", true}, {"fileslower", "evt.type=read", true},
		{"spy_file", "R", true}, {"spy_file", "evt.type=read", false}, {"lsof", "fd.type=ipv4", true}, {"spectrogram", "500", true},
	} {
		if got := Lookup(c.chisel).TakesNext(c.word); got != c.want {
			t.Errorf("%s %s: got %v", c.chisel, c.word, got)
		}
	}
}

// happening makes events of a process with one file, read by a run.
type happening struct {
	t     *testing.T
	state *host.State
	num   uint64
}

func newHappening(t *testing.T) *happening {
	leader := event.NewThreadInfo()
	leader.TID, leader.PID, leader.Comm, leader.Exe, leader.FDs = 7, 7, "cat\x1b[2J", "cat", []event.FDInfo{
		{Num: 1, Type: event.FDFileV2, Name: "/tmp/a\x1b]0;x\x07b.log"}, {Num: 4, Type: event.FDUnix, Name: "/dev/log"},
	}
	s := host.New(host.Options{})
	s.Load(&event.Snapshot{Threads: []*event.ThreadInfo{leader}})
	return &happening{t: t, state: s}
}

func (h *happening) event(typ event.Type, latency uint64, values ...any) *host.Event {
	h.t.Helper()
	h.num++
	b, err := event.Append(nil, 1e18+h.num*1e6, 7, typ, values...)
	if err != nil {
		h.t.Fatal(err)
	}
	ev := &event.Event{Num: h.num}
	if err := ev.Reset(b); err != nil {
		h.t.Fatal(err)
	}
	ev.Latency = latency
	he := &host.Event{}
	h.state.Apply(ev, he)
	return he
}

// run hands an event to a chisel if its condition holds, ends it, and returns what it printed.
func (h *happening) run(env *Env, name string, args Values, events ...*host.Event) string {
	h.t.Helper()
	var out bytes.Buffer
	env.Out = &out
	r, err := Lookup(name).New(env, args)
	if err != nil {
		h.t.Fatal(err)
	}
	if r.Begin != nil {
		err = r.Begin()
	}
	prog := filter.NewProgram()
	for _, he := range events {
		if r.Condition != "" {
			node, perr := filter.Parse(r.Condition)
			if perr != nil {
				h.t.Fatal(perr)
			}
			id, _, perr := prog.Add(node)
			if perr != nil {
				h.t.Fatal(perr)
			}
			if !prog.Eval(id, he) {
				continue
			}
		}
		if err == nil && r.Event != nil {
			err = r.Event(he)
		}
	}
	if err == nil && r.End != nil {
		err = r.End(Moment{Time: 2e18, Span: time.Second}, h.state)
	}
	if err != nil && err != ErrEnd {
		h.t.Fatal(err)
	}
	return out.String()
}

func TestNothingOfAnEventReachesATerminalThatItWouldObey(t *testing.T) {
	const evil = "<13>\x1b]0;title\x07\x9b2J\r\nbye\ttab"
	for _, name := range []string{
		"stdout", "echo_fds", "spy_file", "spy_logs", "spy_syslog", "bottlenecks", "fileslower", "scallslower", "fdcount_by",
		"topfiles_bytes", "topprocs_file", "ps", "lsof", "fdbytes_by",
	} {
		h := newHappening(t)
		write := h.event(event.SYSCALL_WRITE_X, 9e6, len(evil), evil, 1, len(evil))
		syslog := h.event(event.SYSCALL_WRITE_X, 9e6, len(evil), evil, 4, len(evil))
		got := h.run(&Env{Terminal: true, Width: 80}, name, Values{"min_ms": "1", "key": "fd.name"}, write, syslog)
		if i := strings.IndexFunc(got, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("%s prints %q", name, got[max(0, i-10):min(len(got), i+20)])
		}
		if !utf8Valid(got) {
			t.Errorf("%s prints bytes that are no text: %q", name, got)
		}
	}
}

func utf8Valid(s string) bool { return strings.ToValidUTF8(s, "") == s }

func TestDataGoesIntoAPipeAsItIs(t *testing.T) {
	h := newHappening(t)
	const data = "\x00\x1b[1mraw\xff"
	got := h.run(&Env{}, "stdout", nil, h.event(event.SYSCALL_WRITE_X, 0, len(data), data, 1, len(data)))
	if got != data+"\n" {
		t.Errorf("got %q", got)
	}
}

func TestTheSlowestCallsComeFirstAndEqualOnesInOrder(t *testing.T) {
	h := newHappening(t)
	var events []*host.Event
	for i := range 30 {
		events = append(events, h.event(event.SYSCALL_WRITE_X, uint64(1+i%15)*1e6, 1, "x", 1, 1))
	}
	var nums []string
	for line := range strings.Lines(h.run(&Env{}, "bottlenecks", nil, events...)) {
		num, _, _ := strings.Cut(line, ")")
		nums = append(nums, num)
	}
	if got := strings.Join(nums, " "); got != "15 30 14 29 13 28 12 27 11 26" {
		t.Errorf("got %s", got)
	}
}

func TestARankingThatIsFullSaysWhatItLeftOut(t *testing.T) {
	s := &sums{rows: map[string]*float64{}, scale: 1, left: 7}
	var out bytes.Buffer
	if err := s.show(Moment{}, &Table{env: &Env{Out: &out}}); err != nil || !strings.Contains(out.String(), "(7 more events") {
		t.Errorf("%v: %q", err, out.String())
	}
}

func TestRequestsWithoutAnswerAreForgottenOldestFirst(t *testing.T) {
	w := &httpWatch{pending: map[[2]int64]*transaction{}}
	for i := range int64(maxPending) {
		w.pending[[2]int64{i, 0}] = &transaction{asked: uint64(i)}
	}
	w.forget()
	if n := len(w.pending); n > maxPending/2 || w.pending[[2]int64{maxPending - 1, 0}] == nil || w.pending[[2]int64{0, 0}] != nil {
		t.Errorf("%d are left", n)
	}
}

func TestShellsAreFoundAboveAProcess(t *testing.T) {
	chain := []*host.Thread{}
	for i, name := range []string{"make", "zsh", "tmux", "bash", "init"} {
		th := &host.Thread{ThreadInfo: event.ThreadInfo{TID: int64(10 - i), PID: int64(10 - i), Comm: name}}
		if i > 0 {
			chain[i-1].Parent = th
		}
		chain = append(chain, th)
	}
	tree := shellTree{}
	if p := tree.below(10, chain[0]); p.none || p.shell != 7 || p.depth != 0 {
		t.Errorf("below both shells: %+v", p)
	}
	if p := tree.below(6, chain[4]); !p.none {
		t.Errorf("without a shell: %+v", p)
	}
	for i := range int64(maxProcesses + 10) {
		tree.put(i, place{})
	}
	if len(tree) > maxProcesses {
		t.Errorf("%d processes are remembered", len(tree))
	}
}

func TestAHeatMapShowsManyCallsHotterThanFew(t *testing.T) {
	var out bytes.Buffer
	h, err := newHeatMap(&Env{Out: &out, Terminal: true, Width: 40}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		h.count(0.5)
	}
	h.count(0)
	h.count(1) // the end belongs to the last cell
	if err := h.print(Moment{}); err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	few, many := strings.Index(line, "48;5;"+strconv.Itoa(heat[0])+"m"), strings.Index(line, "48;5;"+strconv.Itoa(heat[len(heat)-2])+"m")
	if few < 0 || many < few || strings.Count(line, " ") != 40 {
		t.Errorf("got %q", line)
	}
	if _, err := newHeatMap(&Env{}, time.Second); err == nil {
		t.Error("a pipe got a picture")
	}
}

func FuzzHTTP(f *testing.F) {
	f.Add("GET /index HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n")
	f.Add("POST \xff\r\n")
	f.Fuzz(func(t *testing.T, data string) {
		if method, url, ok := parseRequest(data); ok && (method == "" || strings.ContainsAny(method+url, " \r\n\x1b")) {
			t.Errorf("%q %q", method, url)
		}
		if status, size, ok := parseResponse(data); ok && (status < 0 || size < 0) {
			t.Errorf("%d %d", status, size)
		}
	})
}

func FuzzSyslog(f *testing.F) {
	f.Add("<38>text")
	f.Add("<>")
	f.Add("<9999>x")
	f.Fuzz(func(t *testing.T, text string) {
		facility, severity, msg := parseSyslog(text)
		if severity > 7 || facility > 124 || !strings.HasSuffix(text, msg) {
			t.Errorf("%d %d %q", facility, severity, msg)
		}
		_, _ = shellFunction(text)
	})
}
