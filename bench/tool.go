package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// tool is something that watches while a workload runs.
type tool struct {
	name string
	// divide makes loops shorter for a tool that makes them slower.
	divide int
	counts bool // it tells what it lost
	start  func(ctx context.Context, b *bench) (*session, error)
}

// session is a tool at work.
type session struct {
	pid int // of the tool, 0 if it is no process of its own
	// under is the command that the workload is run under, if the tool works so.
	under []string
	stop  func() (summary, error)
}

// summary is what a tool says at its end.
type summary struct {
	lost uint64 // events
}

// tools are compared in this order; those that do not work here are left out.
var tools = []tool{
	{"no tool", 1, false, func(context.Context, *bench) (*session, error) { return &session{stop: nothing}, nil }},
	{"empty BPF program on sys_exit", 1, false, startHook},
	{"rollcage detect, all rules", 1, true, startDetect},
	{"rollcage observe -w FILE", 1, true, startRecord},
	{"rollcage guard, no black box", 1, true, startGuard("--black-box", "0")},
	{"rollcage guard, black box", 1, true, startGuard()},
	{"perf trace -a", 50, false, startPerf},
	{"strace -f", 20, false, startStrace},
}

func nothing() (summary, error) { return summary{}, nil }

func startHook(context.Context, *bench) (*session, error) {
	l, err := attachHook()
	if err != nil {
		return nil, err
	}
	return &session{stop: func() (summary, error) { return summary{}, l.Close() }}, nil
}

func startDetect(ctx context.Context, b *bench) (*session, error) {
	watching := func(log string) bool { return strings.Contains(log, "Watching ") }
	c, err := startChild(ctx, watching, b.rollcage, "detect", "--docker", "off")
	if err != nil {
		return nil, err
	}
	return c.session(), nil
}

func startRecord(ctx context.Context, b *bench) (*session, error) {
	path := filepath.Join(b.dir, "live.scap")
	c, err := startChild(ctx, fileStarted(path), b.rollcage, "observe", "--docker", "off", "-w", path)
	if err != nil {
		return nil, err
	}
	s := c.session()
	stop := s.stop
	s.stop = func() (summary, error) {
		defer os.Remove(path)
		return stop()
	}
	return s, nil
}

// startGuard starts the daemon with a state of its own.
func startGuard(args ...string) func(context.Context, *bench) (*session, error) {
	return func(ctx context.Context, b *bench) (*session, error) {
		dir, err := os.MkdirTemp(b.dir, "guard")
		if err != nil {
			return nil, err
		}
		run := filepath.Join(dir, "run")
		guarding := func(log string) bool { return strings.Contains(log, "Guarding ") }
		c, err := startChild(ctx, guarding, append([]string{b.rollcage, "guard", "--runtime", "off", "-q",
			"--serve", "", "--state", filepath.Join(dir, "state"), "--run", run}, args...)...)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		stop := c.session().stop
		return &session{pid: c.cmd.Process.Pid, stop: func() (summary, error) {
			s, err := guardSummary(ctx, b.rollcage, run)
			_, stopErr := stop()
			return s, errors.Join(err, stopErr, os.RemoveAll(dir))
		}}, nil
	}
}

func guardSummary(ctx context.Context, rollcage, run string) (s summary, err error) {
	out, err := exec.CommandContext(ctx, rollcage, "status", "--run", run, "-o", "json").Output()
	if err != nil {
		return s, fmt.Errorf("rollcage status: %w", err)
	}
	var status struct{ Dropped uint64 }
	if err := json.Unmarshal(out, &status); err != nil {
		return s, fmt.Errorf("rollcage status: %w", err)
	}
	s.lost = status.Dropped
	return s, nil
}

// fileStarted tells when a capture has its snapshot, which is when it starts.
func fileStarted(path string) func(string) bool {
	return func(string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	}
}

func startPerf(ctx context.Context, _ *bench) (*session, error) {
	if out, err := exec.CommandContext(ctx, "perf", "trace", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("perf trace: %w: %s", err, out)
	}
	// It says nothing when it starts: twice the time that this takes here.
	begin := time.Now()
	ready := func(string) bool { return time.Since(begin) > 1500*time.Millisecond }
	c, err := startChild(ctx, ready, "perf", "trace", "-a", "-o", "/dev/null")
	if err != nil {
		return nil, err
	}
	return c.session(), nil
}

func startStrace(context.Context, *bench) (*session, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, err
	}
	return &session{under: []string{"strace", "-f", "-o", "/dev/null"}, stop: nothing}, nil
}

func (c *child) session() *session {
	return &session{pid: c.cmd.Process.Pid, stop: func() (summary, error) {
		said, err := c.stop()
		if err != nil {
			return summary{}, fmt.Errorf("%w: %s", err, said)
		}
		return parseSummary(said), nil
	}}
}

var lostLine = regexp.MustCompile(`(?m)^(\d+) of \d+ events were lost`)

// parseSummary reads what rollcage says when it stops.
func parseSummary(said string) (s summary) {
	if m := lostLine.FindStringSubmatch(said); m != nil {
		s.lost, _ = strconv.ParseUint(m[1], 10, 64) // digits, says the expression
	}
	return s
}
