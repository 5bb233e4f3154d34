package view

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

const second = uint64(1_000_000_000)

// scene is a host with three processes, one of which has two threads.
type scene struct {
	testing.TB
	state *host.State
	ev    event.Event
	he    host.Event
	buf   []byte
	now   uint64
	num   uint64
}

func newScene(t testing.TB) *scene {
	info := func(tid, pid int64, comm string) *event.ThreadInfo {
		i := event.NewThreadInfo()
		i.TID, i.PID, i.PTID, i.VTID, i.VPID, i.Comm, i.Exe = tid, pid, 1, tid, pid, comm, "/bin/"+comm
		i.VMSize, i.FDLimit = 100, 1024
		return i
	}
	work := info(10, 10, "work")
	work.FDs = []event.FDInfo{
		{Num: 3, Type: event.FDFile, Name: "/etc/hosts"},
		{Num: 4, Type: event.FDFile, Name: "/var/log/a"},
	}
	s := &scene{TB: t, state: host.New(host.Options{}), now: 1_700_000_000 * second}
	s.state.Load(&event.Snapshot{
		Users:   []event.User{{Name: "root", Home: "/root"}},
		Threads: []*event.ThreadInfo{info(1, 1, "init"), work, info(11, 10, "work"), info(20, 20, "idle")},
	})
	return s
}

// happen applies an event, 1 ms after the last.
func (s *scene) happen(tid int64, typ event.Type, values ...any) *host.Event {
	s.Helper()
	s.now += second / 1000
	b, err := event.Append(s.buf[:0], s.now, tid, typ, values...)
	if err != nil {
		s.Fatal(err)
	}
	if s.buf = b; s.ev.Reset(b) != nil {
		s.Fatal("malformed")
	}
	s.num++
	s.ev.Num = s.num
	s.state.Apply(&s.ev, &s.he)
	return &s.he
}

func (s *scene) read(tid int64, fd int, n int) *host.Event {
	return s.happen(tid, event.SYSCALL_READ_X, n, "data", fd, 100)
}

func mustNew(t testing.TB, id string, opt Options) *Table {
	t.Helper()
	v, err := Find(id)
	if err != nil {
		t.Fatal(err)
	}
	table, err := New(v, opt)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// lines returns the rows as KEY: cell | cell.
func lines(r *Result) []string {
	r.Sort(r.DefaultSort(), r.Descending(r.DefaultSort()))
	text, _ := r.Texts()
	var out []string
	for i, cells := range text {
		out = append(out, r.Rows[i].Key+": "+strings.Join(cells, " | "))
	}
	return out
}

func checkLines(t *testing.T, r *Result, want ...string) {
	t.Helper()
	if got := lines(r); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEveryViewCompiles(t *testing.T) {
	for _, v := range All() {
		for _, containers := range []bool{false, true} {
			if _, err := New(v, Options{Containers: containers}); err != nil {
				t.Error(err)
			}
		}
		if v.Drill != "" && Lookup(v.Drill) == nil {
			t.Errorf("%s leads to %s, which does not exist", v.ID, v.Drill)
		}
		if v.Kind == KindTable && v.KeyField(true) == "" {
			t.Errorf("%s has no key", v.ID)
		}
		if v.Description == "" {
			t.Errorf("%s has no description", v.ID)
		}
	}
}

func TestARowAddsUpItsEvents(t *testing.T) {
	s, files := newScene(t), mustNew(t, "files", Options{})
	files.Add(s.read(10, 3, 100))
	files.Add(s.read(11, 3, 50))
	files.Add(s.read(10, 4, 2000))
	files.Add(s.read(10, 3, -11))
	files.Add(s.happen(10, event.SYSCALL_CHDIR_X, 0, "/tmp")) // no file
	checkLines(t, files.Result(0),
		"/etc/hosts: 150 | 0 | 3 | 0 | 1 | /etc/hosts",
		"/var/log/a: 2K | 0 | 1 | 0 | 0 | /var/log/a")
}

func TestRowsOfThreadsAreGroupedToProcesses(t *testing.T) {
	s, procs := newScene(t), mustNew(t, "procs", Options{})
	procs.Add(s.read(10, 3, 1000))
	procs.Add(s.read(11, 3, 500))
	procs.AddThreads(s.state, s.now, nil)
	checkLines(t, procs.Result(2),
		"1: 1 | 1 | 0.00 | root | 1 | 100K | 0 | 0.00 | 0.00 | /bin/init",
		"10: 10 | 1 | 0.00 | root | 2 | 100K | 0 | 750.00 | 0.00 | /bin/work",
		"20: 20 | 1 | 0.00 | root | 1 | 100K | 0 | 0.00 | 0.00 | /bin/idle")
}

// ids says that each thread uses as much of a processor, in percent, as its id.
type ids struct{ gone int64 }

func (i ids) Sample(_, tid int64, s *Sample) bool {
	s.User, s.System, s.Resident = float64(tid)/2, float64(tid)/2, 1<<20
	return tid != i.gone
}

func TestALiveProcessUsesWhatItsThreadsUse(t *testing.T) {
	s, procs := newScene(t), mustNew(t, "procs_cpu", Options{})
	procs.AddThreads(s.state, s.now, ids{gone: 20})
	checkLines(t, procs.Result(2),
		"10: 10 | 21.00 | 10.50 | 10.50 | 1.00 | /bin/work",
		"1: 1 | 1.00 | 0.50 | 0.50 | 0.50 | /bin/init")
}

func TestAListHasARowForEachEventInOrder(t *testing.T) {
	s, list := newScene(t), mustNew(t, "spy_users", Options{MaxRows: 2, Newest: true})
	for range 3 {
		list.Add(s.happen(1, event.SYSCALL_CHDIR_X, 0, "/tmp")) // not a shell
	}
	if n := len(list.Result(0).Rows); n != 0 {
		t.Errorf("%d rows", n)
	}
	opens := mustNew(t, "file_opens", Options{MaxRows: 2, Newest: true})
	for i := range 5 {
		opens.Add(s.happen(10, event.SYSCALL_OPEN_X, 5+i, fmt.Sprint("/tmp/", i), 1, 0, 0, 0))
	}
	r := opens.Result(0)
	if len(r.Rows) != 2 || r.Rows[0].Key != "4" || r.Rows[1].Cells[2].Text != "/tmp/4" || r.Left != 3 {
		t.Errorf("%+v", r)
	}
}

func TestLatencyIsAHistogram(t *testing.T) {
	s, spectro := newScene(t), mustNew(t, "spectro_file", Options{})
	for _, ns := range []uint64{0, 1000, 1001, 1_000_000} {
		s.ev.Latency = ns
		spectro.Add(s.read(10, 3, 1))
	}
	r := spectro.Result(0)
	r.Sort(0, false)
	if len(r.Rows) != 2 || r.Rows[0].Key != "25" || r.Rows[0].Cells[1].Num != 2 || r.Rows[1].Key != "49" {
		t.Errorf("%+v", r.Rows)
	}
}

func TestRowsBeyondTheLimitAreCounted(t *testing.T) {
	s, files := newScene(t), mustNew(t, "files", Options{MaxRows: 1})
	files.Add(s.read(10, 3, 1))
	files.Add(s.read(10, 4, 1))
	files.Add(s.read(10, 3, 1))
	if r := files.Result(0); len(r.Rows) != 1 || r.Left != 1 || r.Rows[0].Cells[2].Num != 2 {
		t.Errorf("%+v", r)
	}
}

func TestAResetTableStartsOver(t *testing.T) {
	s, files := newScene(t), mustNew(t, "files", Options{})
	files.Add(s.read(10, 3, 1))
	files.Reset()
	files.Add(s.read(10, 4, 7))
	checkLines(t, files.Result(1), "/var/log/a: 7 | 0 | 1 | 0 | 0 | /var/log/a")
}

func TestTheConditionOfAPathHoldsEachChoice(t *testing.T) {
	p := NewPath(Lookup("procs"), "proc.name != sshd")
	p = p.Down(Lookup("threads"), false, "10").Down(Lookup("files"), false, `11`)
	want := `(proc.name != sshd) and ((evt.type!=switch) and (proc.pid=10)) and ((evt.type!=switch) and (thread.tid=11))`
	if got := p.Condition(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if p.Depth() != 2 || p.Key() != "thread.tid" || p.Up().Up().Up().View().ID != "procs" {
		t.Errorf("%+v", p)
	}
	for _, v := range p.Views() {
		if _, err := New(v, Options{Filter: p.Condition(), Depth: p.Depth()}); err != nil {
			t.Error(err)
		}
	}
	if got := Quote(`a "b" \c`); got != `"a \"b\" \ c"` {
		t.Errorf("quoted %s", got)
	}
}

func TestAnUnknownViewNamesTheNearest(t *testing.T) {
	if _, err := Find("proc"); err == nil || err.Error() != `unknown view "proc", did you mean procs?` {
		t.Errorf("%v", err)
	}
}

func TestAWrongConditionSaysSo(t *testing.T) {
	_, err := New(Lookup("files"), Options{Filter: "fd.nope = 1"})
	if err == nil || !strings.Contains(err.Error(), "fd.nope") {
		t.Errorf("%v", err)
	}
}

func TestJSONIsAsCsysdigPrintsIt(t *testing.T) {
	s, sys := newScene(t), mustNew(t, "syscalls", Options{Filter: "proc.pid=10"})
	s.ev.Latency = 1500
	sys.Add(s.read(10, 3, 1))
	sys.Add(s.read(10, 3, 1))
	got := string(sys.Result(0).AppendJSON(nil, "proc.pid=10", false, Range{To: -1}))
	for _, want := range []string{
		`{"d":[2,"    3.00us","    1.50us","read"],"k":"read"}`, `"count": 1, "info": {"appliesTo":["",`,
		`"filterTemplate":"(proc.pid=10) and ((syscall.type exists) and evt.type=\"@#$f1CA^\u0026;\")"`,
		`{"format":"DEC","name":"TOT TIME","size":10,"type":"RELTIME"}`, `"sortingCol":1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal(sys.Result(1).AppendRowsJSON(nil), &rows); err != nil || rows[0]["TOT TIME"] != 3000.0 || rows[0]["CALLS/S"] != 2.0 {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestAnEventOfAKnownRowAllocatesNothing(t *testing.T) {
	s := newScene(t)
	for _, id := range []string{"procs", "files", "syscalls", "connections"} {
		table := mustNew(t, id, Options{Containers: true})
		e := s.read(10, 3, 10)
		table.Add(e)
		if n := testing.AllocsPerRun(100, func() { e.Num++; table.Add(e) }); n != 0 {
			t.Errorf("%s: %v allocations", id, n)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, id := range []string{"procs", "files", "syscalls", "connections"} {
		b.Run(id, func(b *testing.B) {
			s, table := newScene(b), mustNew(b, id, Options{Containers: true})
			e := s.read(10, 3, 10)
			b.ReportAllocs()
			for b.Loop() {
				e.Num++
				table.Add(e)
			}
		})
	}
}

func TestARowIsOpenedWhateverBytesItsNameHolds(t *testing.T) {
	for _, name := range []string{"/tmp/two\nlines", "/tmp/\x1b[31mred", "/tmp/\xff\xfe", `/tmp/backslash\`, `/tmp/a\"b'`, "/tmp/caf\u00e9"} {
		s := newScene(t)
		files := mustNew(t, "files", Options{})
		s.happen(10, event.SYSCALL_OPEN_X, 7, name, 1, 0, 0, 0)
		files.Add(s.read(10, 7, 100))
		files.Add(s.read(10, 3, 100)) // of another file
		for _, r := range files.Result(1).Rows {
			path := NewPath(files.View, "").Down(mustFind(t, files.View.Drill), false, r.Key)
			below := mustNew(t, files.View.Drill, Options{Filter: path.Condition(), Depth: path.Depth()})
			below.Add(s.read(10, 7, 100))
			if got := len(below.Result(1).Rows); (got == 1) != (r.Key != "/etc/hosts") {
				t.Errorf("%q opened by %q: %d rows", name, path.Condition(), got)
			}
		}
	}
}

func mustFind(t *testing.T, id string) *View {
	t.Helper()
	v, err := Find(id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
