package probe

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func init() {
	allScenes["calls that take their time"] = func() []string {
		ts := unix.Timespec{Nsec: 20e6}
		_ = unix.Nanosleep(&ts, nil)
		_, _ = unix.Seek(0, 0, 0)
		return []string{"slept"}
	}
}

// latencies returns the latency of the calls of a scene by type.
func latencies(t *testing.T, p *Probe, in event.Interest) map[event.Type]uint64 {
	t.Helper()
	in.AddSyscalls("nanosleep", "lseek")
	if err := p.SetInterest(in); err != nil {
		t.Fatal(err)
	}
	var tid int64
	out := map[event.Type]uint64{}
	cmd := sceneCommand("calls that take their time")
	for _, ev := range watch(t, p, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		tid = int64(cmd.Process.Pid)
	}) {
		if ev.TID() == tid {
			out[ev.Type()] = ev.Latency
		}
	}
	return out
}

func TestTheLatencyOfACallIsMeasuredWhenAskedFor(t *testing.T) {
	p := sharedProbe(t)
	defer p.SetInterest(event.Interest{})
	got := latencies(t, p, event.Interest{Latency: true})
	if slept := time.Duration(got[event.SYSCALL_NANOSLEEP_X]); slept < 20*time.Millisecond || slept > time.Minute {
		t.Errorf("a sleep of 20 ms took %v", slept)
	}
	for _, typ := range []event.Type{event.SYSCALL_LSEEK_X, event.SYSCALL_EXECVE_19_X, event.SYSCALL_OPENAT_2_X} {
		if got[typ] == 0 {
			t.Errorf("%s took no time", typ)
		}
	}
	for typ, latency := range latencies(t, p, event.Interest{}) {
		if latency != 0 {
			t.Errorf("%s has a latency that nobody asked for", typ)
		}
	}
}
