package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func init() {
	allScenes["writes for the box"] = func() []string {
		inTemp()
		text := []byte(strings.Repeat("x", 300))
		file := must(unix.Open("file", unix.O_CREAT|unix.O_RDWR, 0o600))
		chosen := must(unix.Open(os.Getenv("ROLLCAGE_CHOSEN"), unix.O_WRONLY, 0))
		var p [2]int
		check(unix.Pipe(p[:]))
		for _, fd := range []int{file, chosen, p[1]} {
			must(unix.Write(fd, text))
		}
		l := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
		check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		check(unix.Sendto(l, text, 0, must(unix.Getsockname(l))))
		return []string{
			fmt.Sprintf("SYSCALL_WRITE_X res=300 data=%q fd=%d size=300", text[:10], file),
			fmt.Sprintf("SYSCALL_WRITE_X res=300 data=%q fd=%d size=300", text[:250], chosen),
			fmt.Sprintf("SYSCALL_WRITE_X res=300 data=%q fd=%d size=300", text[:200], p[1]),
			fmt.Sprintf("SOCKET_SENDTO_X res=300 data=%q fd=%d size=300 tuple=*", text[:100], l),
			"PROCEXIT_1_E status=0 *",
		}
	}
}

// boxLines returns the events of a thread that a box has.
func boxLines(t *testing.T, rec *Recording, tid int, types ...event.Type) []string {
	t.Helper()
	var lines []string
	var ev event.Event
	last := uint64(0)
	for {
		err := rec.Next(&ev)
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		if ev.Time() < last {
			t.Fatal("time goes back")
		}
		last = ev.Time()
		lines = append(lines, of([]*event.Event{&ev}, tid, types...)...)
	}
}

func TestTheBoxHasWhatNobodyAskedFor(t *testing.T) {
	chosen := t.TempDir() + "/chosen"
	check(os.WriteFile(chosen, nil, 0o600))
	t.Setenv("ROLLCAGE_CHOSEN", chosen)
	var in event.Interest
	in.AddSyscalls("write", "sendto")
	p := openProbe(t, Options{Box: &BoxOptions{
		Interest: in, Snaplens: BoxSnaplens{File: 10, Inet: 100, Pipe: 200}, Files: map[string]int{chosen: 250},
	}})
	before := uint64(time.Now().UnixNano())
	s := scene{name: "writes for the box"}
	sc, events := playAndWatchWith(t, p, s)
	if got := of(events, sc.TID, event.SYSCALL_WRITE_X, event.SOCKET_SENDTO_X); len(got) > 0 {
		t.Errorf("the rings have it too: %v", got)
	}
	rec, err := p.BlackBox().Read(before)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Reaches != before {
		t.Errorf("the box reaches back to %d only, want %d", rec.Reaches, before)
	}
	got := boxLines(t, rec, sc.TID, event.SYSCALL_WRITE_X, event.SOCKET_SENDTO_X, event.PROCEXIT_1_E)
	wantLines(t, got[:4], sc.Want[:4]...)
	wantLines(t, got[len(got)-1:], sc.Want[4])

	s.syscalls = []string{"write"} // and now the rings want it, in their own length
	sc, events = playAndWatchWith(t, p, s)
	wantLines(t, of(events, sc.TID, event.SYSCALL_WRITE_X)[:1],
		strings.Replace(sc.Want[0], strings.Repeat("x", 10), strings.Repeat("x", 80), 1))
	if rec, err = p.BlackBox().Read(before); err != nil {
		t.Fatal(err)
	}
	wantLines(t, boxLines(t, rec, sc.TID, event.SYSCALL_WRITE_X)[:1], sc.Want[0])
}

func TestABoxThatIsFullHasTheNewest(t *testing.T) {
	p := openProbe(t, Options{Box: &BoxOptions{Size: 1}})
	go consume(p)
	cmd := sceneCommand("flood")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	rec, err := p.BlackBox().Read(0)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Reaches <= p.BlackBox().since || rec.Reaches > rec.Until {
		t.Errorf("the box reaches back to %d, it began at %d", rec.Reaches, p.BlackBox().since)
	}
	n := rec.Len()
	if lines := boxLines(t, rec, cmd.Process.Pid, event.PROCEXIT_1_E); len(lines) == 0 || n > 2*2*(segmentFull+65536)/50 {
		t.Errorf("%d events, the end of the flood among them: %v", n, lines)
	}
	again, err := p.BlackBox().Read(0) // what was read stays
	if err != nil || again.Len() < n/2 {
		t.Errorf("%d events at the second look, %v", again.Len(), err)
	}
}

func TestTheBoxKeepsToItsCgroups(t *testing.T) {
	own := ownCgroup(t)
	p := openProbe(t, Options{Box: &BoxOptions{Scope: &BoxScope{}}})
	go consume(p)
	for _, c := range []struct {
		name  string
		scope *BoxScope
		want  bool
	}{
		{"none", &BoxScope{}, false},
		{"another one", &BoxScope{Cgroups: map[uint64]bool{math.MaxUint64: true}}, false},
		{"our own", &BoxScope{Cgroups: map[uint64]bool{own: true}}, true},
		{"all but our own", &BoxScope{Cgroups: map[uint64]bool{own: false}, Rest: true}, false},
		{"all but another one", &BoxScope{Cgroups: map[uint64]bool{math.MaxUint64: false}, Rest: true}, true},
		{"everywhere", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := uint64(time.Now().UnixNano())
			if err := p.BlackBox().SetScope(c.scope); err != nil {
				t.Fatal(err)
			}
			n := floodRecorded(t, p.BlackBox(), before)
			if c.want && n < floodSize/2 || !c.want && n > 0 {
				t.Errorf("%d events, want some: %v", n, c.want)
			}
		})
	}
}

// floodRecorded runs a flood and returns how many of its events the box has.
func floodRecorded(t *testing.T, b *BlackBox, since uint64) int {
	t.Helper()
	cmd := sceneCommand("flood")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	rec, err := b.Read(since)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var ev event.Event
	for rec.Next(&ev) == nil {
		if ev.TID() == int64(cmd.Process.Pid) {
			n++
		}
	}
	return n
}

func TestAPausedBoxRecordsNothingWhateverItsScope(t *testing.T) {
	p := openProbe(t, Options{Box: &BoxOptions{}})
	go consume(p)
	b := p.BlackBox()
	if err := errors.Join(b.Pause(true), b.SetScope(nil)); err != nil {
		t.Fatal(err)
	}
	if n := floodRecorded(t, b, 0); n > 0 {
		t.Errorf("%d events while it is paused", n)
	}
	if err := b.Pause(false); err != nil {
		t.Fatal(err)
	}
	if n := floodRecorded(t, b, 0); n < floodSize/2 {
		t.Errorf("%d events when it goes on", n)
	}
}

func TestDataIsCutWhateverLengthsAreSetLater(t *testing.T) {
	chosen := t.TempDir() + "/chosen"
	check(os.WriteFile(chosen, nil, 0o600))
	t.Setenv("ROLLCAGE_CHOSEN", chosen)
	var in event.Interest
	in.AddSyscalls("write", "sendto")
	p := openProbe(t, Options{Box: &BoxOptions{Interest: in}})
	b := p.BlackBox()
	for _, most := range []int{80, 0, MaxSnaplen} {
		before := uint64(time.Now().UnixNano())
		files := map[string]int{chosen: 250, "/no/such/file": 1}
		if err := b.Cut(most); err != nil {
			t.Fatal(err)
		}
		if err := b.SetLengths(BoxSnaplens{File: 10, Inet: 100, Pipe: 200}, nil, files); !errors.Is(err, unix.ENOENT) {
			t.Errorf("a file that is not there: %v", err)
		}
		sc, _ := playAndWatchWith(t, p, scene{name: "writes for the box"})
		rec, err := b.Read(before)
		if err != nil {
			t.Fatal(err)
		}
		var ev event.Event
		var got []int
		for rec.Next(&ev) == nil {
			if ev.TID() == int64(sc.TID) && ev.Type() == event.SYSCALL_WRITE_X {
				got = append(got, len(ev.Param(1)))
			}
		}
		want := []int{min(10, most), min(250, most), min(200, most)}
		if len(got) < 3 || !slices.Equal(got[:3], want) {
			t.Errorf("cut at %d: %v bytes, want %v", most, got, want)
		}
	}
}

// ownCgroup returns the id of the cgroup that the test runs in.
func ownCgroup(t *testing.T) uint64 {
	f, err := NewCgroupFinder()
	if err != nil {
		t.Skip(err)
	}
	var cgroups []string
	for line := range strings.Lines(string(must(os.ReadFile("/proc/self/cgroup")))) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		controllers := part[1]
		if controllers == "" {
			controllers = "unified"
		}
		cgroups = append(cgroups, controllers+"="+part[2])
	}
	id, err := f.ID(f.Path(cgroups))
	if err != nil {
		t.Skip(err)
	}
	return id
}

// segmentWith makes a segment with an event at each time.
func segmentWith(times ...uint64) segmentCopy {
	var b []byte
	for _, ts := range times {
		ev := must(event.Append(nil, ts, 1, event.SYSCALL_CLOSE_X, 0, 1))
		b = append(binary.NativeEndian.AppendUint64(b, uint64(len(ev))), ev...)
		b = append(b, make([]byte, -len(b)&7)...)
	}
	return segmentCopy{number: 1, data: b}
}

func TestASegmentGivesItsRecordsOfATime(t *testing.T) {
	for _, c := range []struct {
		name        string
		cut         int
		from, until uint64
		want        []uint64
	}{
		{"all", 0, 0, 9, []uint64{1, 2, 3}},
		{"from a time on", 0, 2, 9, []uint64{2, 3}},
		{"up to a time", 0, 0, 2, []uint64{1, 2}},
		{"those that are whole", 9, 0, 9, []uint64{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := segmentWith(1, 2, 3)
			s.data = s.data[:len(s.data)-c.cut]
			var got []uint64
			for _, r := range appendBoxRecords(nil, s, c.from, c.until) {
				got = append(got, r.time)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("records of %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzBox(f *testing.F) {
	f.Add(segmentWith(1, 2, 3).data)
	f.Fuzz(func(t *testing.T, data []byte) {
		rec := &Recording{records: appendBoxRecords(nil, segmentCopy{data: data}, 0, math.MaxUint64)}
		var ev event.Event
		for rec.Next(&ev) == nil {
			_ = describe(&ev)
		}
	})
}
