package scene

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// at returns a scene in which a process opens a file. Its ancestors have the
// given pids, first the topmost, and sessions; those from box on are in a container.
func at(t *testing.T, pids, sessions []int64, box int) *Scene {
	t.Helper()
	state := host.New(host.Options{})
	snap := &event.Snapshot{}
	for i, pid := range pids {
		p := event.NewThreadInfo()
		p.TID, p.PID, p.SID, p.Comm, p.Exe = pid, pid, sessions[i], "p", "/bin/p"
		if i > 0 {
			p.PTID = pids[i-1]
		}
		if i >= box {
			p.Cgroups = []string{"cpu=/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
		}
		snap.Threads = append(snap.Threads, p)
	}
	state.Load(snap)
	b, err := event.Append(nil, uint64(time.Now().UnixNano()), pids[len(pids)-1], event.SYSCALL_OPEN_X, 3, "/x", 1, 0o644, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ev, he := &event.Event{Num: 1}, new(host.Event)
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	state.Apply(ev, he)
	return New(he, "box", state.Clock())
}

func TestTreeBeginsWhereTheContainerOrTheSessionDoes(t *testing.T) {
	tests := []struct {
		name           string
		pids, sessions []int64
		box            int
		tree           []int64
		container      string
	}{
		{"in a container", []int64{1, 5, 10, 11, 12}, []int64{1, 5, 10, 10, 12}, 2, []int64{12, 11, 10}, "0123456789ab"},
		{"on the host", []int64{1, 5, 10, 11, 12}, []int64{1, 5, 10, 10, 10}, 9, []int64{12, 11, 10}, ""},
		{"a session of its own", []int64{1, 5, 12}, []int64{1, 5, 12}, 9, []int64{12}, ""},
		{"the first process of a container", []int64{1, 5}, []int64{1, 5}, 1, []int64{5}, "0123456789ab"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := at(t, tt.pids, tt.sessions, tt.box)
			var tree []int64
			for _, p := range s.Tree() {
				tree = append(tree, p.PID)
			}
			if diff := cmp.Diff(tt.tree, tree); diff != "" {
				t.Error(diff)
			}
			if len(s.Processes) != len(tt.pids) || s.ContainerID() != tt.container {
				t.Errorf("%d processes, container %q", len(s.Processes), s.ContainerID())
			}
			if s.Boot <= 0 {
				t.Errorf("boot time %d", s.Boot)
			}
		})
	}
}

func TestWorkloadIsThePodsNameWithoutWhatControllersAppend(t *testing.T) {
	for pod, want := range map[string]string{
		"web-5d4f7c6b9d-x7k2p": "web", "agent-x7k2p": "agent", "db-0": "db", "db-12": "db", "my-web": "my-web", "web": "web", "": "",
		"web-front-5d4f7c6b9d-x7k2p": "web-front", "a-house": "a-house", "-0": "-0", "x-": "x-",
	} {
		if got := workloadOf(pod); got != want {
			t.Errorf("%q: got %q, want %q", pod, got, want)
		}
	}
}
