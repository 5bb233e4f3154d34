package host_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
	"rollcage/internal/observe/procfs"
)

// churn is a shell that forks, runs programs, opens, duplicates and closes
// descriptors, changes its directory and runs itself anew, without end. The
// last 40 of its children live on, so that they show the descriptors of many
// moments. When a file named stop appears it says so and stays as it is.
const churn = `
dir=$1 id=$2 n=50; shift 2
while [ "$n" -gt 0 ]; do
	exec 5</dev/null 6>>"$dir/log.$id" 7<&5 8<>/dev/zero
	sleep 1000 & set -- "$@" $!
	exec 5<&- 7>&6 6</proc/sys/kernel/ostype
	( exec 9</etc/passwd 7<&-; cd /proc; exec sleep 1000 ) & set -- "$@" $!
	( exec 3<&- 4>"$dir/sub.$id"; exec /bin/true )
	cd /; exec 3<"$dir" 4<&3; cd "$dir"
	if [ $# -gt 40 ]; then kill "$1" "$2"; wait "$1" "$2"; shift 2; fi
	if [ -e "$dir/stop" ]; then echo rest; read -r never; fi
	n=$((n - 1))
done 2>/dev/null
kill "$@"; wait
exec sh "$0" "$dir" "$id"
`

const churners = 4

// shells are the churning shells and their children, by process group.
type shells struct {
	groups  []int64
	resting atomic.Int32
}

// startChurn starts the shells, which end with the test.
func startChurn(t *testing.T, dir string) *shells {
	t.Helper()
	script := filepath.Join(dir, "churn")
	if err := os.WriteFile(script, []byte(churn), 0o600); err != nil {
		t.Fatal(err)
	}
	s := new(shells)
	for i := range churners {
		cmd := exec.Command("sh", script, dir, fmt.Sprint(i))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Skipf("no shell: %v", err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			in.Close()
			_ = cmd.Wait()
		})
		go func() {
			if line, _ := bufio.NewReader(out).ReadString('\n'); line == "rest\n" {
				s.resting.Add(1)
			}
		}()
		s.groups = append(s.groups, int64(cmd.Process.Pid))
	}
	for len(s.processes()) < 40*churners {
		runtime.Gosched()
	}
	return s
}

// atRest reports whether the shells have stopped and their children have all become sleepers.
func (s *shells) atRest(r *procfs.Reader) bool {
	if s.resting.Load() != churners {
		return false
	}
	for _, pid := range s.processes() {
		th, err := r.Thread(pid, pid)
		if err == nil && th.Comm != "sleep" && !slices.Contains(s.groups, pid) {
			return false
		}
	}
	return true
}

// processes returns the ids of the shells and their children.
func (s *shells) processes() (pids []int64) {
	list, _ := os.ReadDir("/proc")
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err == nil && slices.Contains(s.groups, int64(group)) {
			pids = append(pids, int64(pid))
		}
	}
	return pids
}

// The state made of snapshot and stream must be that of the host, however much
// was going on while the snapshot was read.
func TestSnapshotAndStreamLeaveNoGap(t *testing.T) {
	if err := probe.Supported(); err != nil {
		t.Skip(err)
	}
	for round := range 2 {
		t.Run(fmt.Sprint("round ", round+1), func(t *testing.T) {
			dir := t.TempDir()
			r, err := procfs.Open("/proc")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			shells := startChurn(t, dir)
			p, err := probe.Open(probe.Options{})
			if err != nil {
				t.Skipf("the kernel refuses the probe: %v", err)
			}
			defer p.Close()
			state := host.New(host.Options{})
			state.Load(p.Snapshot())
			if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			follow(t, p, state, func() bool { return shells.atRest(r) })
			if s := p.Stats(); s.Dropped != 0 || s.Skipped != 0 {
				t.Skipf("this machine is too busy, events were lost: %+v", s)
			}
			compareWithProc(t, state, shells, r)
		})
	}
}

// follow applies events until the host is at rest and all that was done was
// seen, or some was lost.
func follow(t *testing.T, p *probe.Probe, state *host.State, atRest func() bool) {
	t.Helper()
	var ev event.Event
	var he host.Event
	var rest uint64 // when it was at rest
	for n := 1; ; n++ {
		switch err := p.Next(&ev); {
		case err == nil:
			state.Apply(&ev, &he)
			if n%1000 != 0 { // what follows takes longer than many events: a busy host would never be caught up with
				continue
			}
		case !errors.Is(err, event.ErrIdle):
			t.Fatal(err)
		}
		if s := p.Stats(); s.Dropped != 0 || rest != 0 && s.CaughtUp >= rest {
			return
		}
		if rest == 0 && atRest() {
			rest = uint64(time.Now().UnixNano())
		}
	}
}

func compareWithProc(t *testing.T, state *host.State, shells *shells, r *procfs.Reader) {
	t.Helper()
	r.Refresh()
	alive := map[int64]bool{}
	for _, pid := range shells.processes() {
		want, err := r.Thread(pid, pid)
		if err != nil {
			continue
		}
		alive[pid] = true
		if want.FDs, err = r.FDs(pid); err != nil {
			t.Fatal(err)
		}
		compareProcess(t, state.Thread(pid), want)
	}
	if len(alive) < 10*churners {
		t.Errorf("only %d processes are alive", len(alive))
	}
	for th := range state.Threads() {
		if slices.Contains(shells.groups, th.PGID) && !alive[th.PID] && !th.Dead {
			t.Errorf("%s %d has ended long ago", th.Comm, th.TID)
		}
	}
}

func compareProcess(t *testing.T, got *host.Thread, want *event.ThreadInfo) {
	t.Helper()
	if got == nil {
		t.Errorf("%s %d of %d is missing", want.Comm, want.PID, want.PTID)
		return
	}
	if got.Comm != want.Comm || got.Exe != want.Exe || got.ExePath != want.ExePath || got.Cwd != want.Cwd ||
		got.PTID != want.PTID || got.SID != want.SID || !slices.Equal(got.Args, want.Args) {
		t.Errorf("got  %s %q %q %q in %s, of %d\nwant %s %q %q %q in %s, of %d", got.Comm, got.Exe, got.Args, got.ExePath, got.Cwd, got.PTID,
			want.Comm, want.Exe, want.Args, want.ExePath, want.Cwd, want.PTID)
	}
	for _, w := range want.FDs {
		f := got.FDs.Get(w.Num)
		switch {
		case f == nil:
			t.Errorf("%s %d descriptor %d is missing, want %+v", want.Comm, want.PID, w.Num, w)
		case kind(f.Type) != kind(w.Type) || f.Ino != w.Ino || w.Name != f.Name && w.Name[0] == '/':
			t.Errorf("%s %d descriptor %d: got %+v, want %+v", want.Comm, want.PID, w.Num, f.FDInfo, w)
		}
	}
	for n, f := range got.FDs.All() {
		if !slices.ContainsFunc(want.FDs, func(w event.FDInfo) bool { return w.Num == n }) {
			t.Errorf("%s %d descriptor %d is closed, got %+v", want.Comm, want.PID, n, f)
		}
	}
}

// kind is the type of a descriptor as far as the event that opened it tells:
// it calls a directory a file unless the program asked for a directory.
func kind(t event.FDType) event.FDType {
	if t == event.FDDirectory {
		return event.FDFileV2
	}
	return t
}
