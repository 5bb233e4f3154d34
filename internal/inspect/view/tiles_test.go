package view

import (
	"bytes"
	"strings"
	"testing"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// execFlags of an execve event, as the probe sets them.
const (
	exeUpperLayer = 1 << 1
	exeFromMemfd  = 1 << 2
)

// exec runs a program in the container whose cgroup it is.
func (s *scene) exec(tid int64, cgroup string, flags int) *host.Event {
	s.Helper()
	list := []byte(strings.Join([]string{"a", ""}, "\x00"))
	return s.happen(tid, event.SYSCALL_EXECVE_19_X, 0, "/opt/x", list, tid, tid, 1, "", 1024, 1, 2, 3, 4, 5,
		"x", []byte("cpuset="+cgroup+"\x00"), list, 0, tid, 0, flags, 0, 0, 0, 42, 10, 11, 0, "/opt/x", tid, 0, "/opt/x")
}

func TestDriftDeniedAndDropsCountWhatTheirConditionsFit(t *testing.T) {
	docker := "/docker/" + strings.Repeat("ab", 32)
	const upper = 1 << 15 // of an open file's flags
	s := newScene(t)
	sum := mustSummary(t, SummaryOptions{Samples: 3})
	prog, ids := filter.NewProgram(), map[string]filter.CondID{}
	for _, tile := range []string{"Drift", "Denied", "Drops"} {
		i := tileNamed(t, tile)
		n, err := filter.Parse(tiles[i].filter)
		if err != nil {
			t.Fatal(err)
		}
		if ids[tile], _, err = prog.Add(n); err != nil {
			t.Fatal(err)
		}
	}
	fits := map[string]float64{}
	see := func(e *host.Event, want string) {
		t.Helper()
		sum.Add(e)
		got := ""
		for tile, id := range ids {
			if prog.Eval(id, e) {
				got = tile
				fits[tile]++
			}
		}
		if got != want {
			t.Errorf("event %d, %s: counts as %q, want %q", e.Num, e.Info().Name, got, want)
		}
	}
	see(s.exec(20, "/", exeUpperLayer), "") // the host may be an overlay itself
	see(s.exec(10, docker, 0), "")
	see(s.exec(10, docker, exeUpperLayer), "Drift")
	see(s.exec(10, docker, exeFromMemfd), "Drift")
	for _, file := range []struct {
		flags, prot int
		want        string
	}{{upper, 1 << 2, "Drift"}, {upper, 1 << 0, ""}, {0, 1 << 2, ""}} {
		see(s.happen(10, event.SYSCALL_OPENAT_2_X, 7, -100, "/tmp/lib.so", 1|file.flags, 0, 1, 2), "")
		see(s.happen(10, event.SYSCALL_MMAP_X, 4096, 0, 0, 0, 0, 4096, file.prot, 2, 7, 0), file.want)
	}
	see(s.happen(10, event.SYSCALL_OPENAT_2_X, -13, -100, "/etc/shadow", 1, 0, 0, 0), "Denied")
	see(s.happen(10, event.SYSCALL_OPENAT_2_X, -1, -100, "/etc/shadow", 1, 0, 0, 0), "Denied")
	see(s.happen(10, event.SYSCALL_OPENAT_2_X, -2, -100, "/none", 1, 0, 0, 0), "")
	see(s.happen(20, event.DROP_E, 1), "Drops")
	see(s.happen(20, event.PROCEXIT_1_E, 31, 0, 31, 0, 0), "Denied") // SIGSYS: seccomp ended it
	o := sum.Overview()
	for tile, n := range map[string]float64{"Drift": 3, "Denied": 3, "Drops": 1} {
		got := o.tile(tile)
		if got.Total != n || fits[tile] != n || got.View != DigView || !got.Noted {
			t.Errorf("%s: the tile says %v, the condition fits %v, want %v", tile, got.Total, fits[tile], n)
		}
		var parts float64
		for _, v := range got.Values {
			parts += v
		}
		if parts != n {
			t.Errorf("%s: the samples add up to %v, want %v", tile, parts, n)
		}
	}
	if doc, err := o.JSON(); err != nil || !bytes.Contains(doc, []byte(`"Drift"`)) {
		t.Errorf("%v", err)
	}
}

// tileNamed returns the index of a tile.
func tileNamed(t *testing.T, name string) int {
	t.Helper()
	for i := range tiles {
		if tiles[i].name == name {
			return i
		}
	}
	t.Fatalf("no tile %s", name)
	return 0
}
