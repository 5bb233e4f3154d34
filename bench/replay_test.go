package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
	"rollcage/rules"
)

// pipeline is everything between a source and the text of an alert.
type pipeline struct {
	engine    *rule.Engine // nil without rules
	formatter *alert.Formatter
	shape     alert.Shape
	line      []byte
	alerts    int
}

// newPipeline returns a pipeline with these rules, none if there is no file.
func newPipeline(tb testing.TB, files ...rule.File) *pipeline {
	tb.Helper()
	p := &pipeline{shape: alert.JSON()}
	if len(files) == 0 {
		return p
	}
	set, results := rule.Load(files, rule.LoadOptions{})
	for _, r := range results {
		if !r.OK() {
			tb.Fatalf("rules: %v", r.Errors)
		}
	}
	var err error
	if p.engine, err = rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug}); err != nil {
		tb.Fatal(err)
	}
	if p.formatter, err = alert.NewFormatter(p.engine, alert.FormatterOptions{}); err != nil {
		tb.Fatal(err)
	}
	return p
}

// oneRule is a rule as it stands in most sets of rules.
var oneRule = rule.File{Name: "one.yaml", Data: []byte(`
- rule: Secret file read in a container
  desc: A process in a container, other than those that log users in, opened a file with secrets.
  condition: >
    evt.type in (open, openat, openat2) and evt.is_open_read = true and fd.num >= 0 and container.id != host
    and fd.name in (/etc/shadow, /etc/gshadow, /etc/sudoers) and not proc.name in (login, sshd, su, sudo, passwd)
  output: A secret was read (file=%fd.name process=%proc.name parent=%proc.pname container=%container.name image=%container.image)
  priority: WARNING
`)}

// allRules returns the rules that Rollcage ships.
func allRules() (files []rule.File) {
	for _, f := range rules.Files() {
		files = append(files, rule.File{Name: f.Name, Data: f.Data})
	}
	return files
}

// judge does with an applied event what rollcage detect does with it.
func (p *pipeline) judge(he *host.Event) {
	if p.engine == nil || he.Hidden {
		return
	}
	for _, m := range p.engine.Process(he) {
		p.alerts++
		p.line = p.shape.Append(p.line[:0], p.formatter.Alert(m, he))
	}
}

// pass is one way through a capture.
type pass struct {
	*capture.Reader
	state *host.State
	ev    event.Event
	he    host.Event
}

func newPass(tb testing.TB, path string) *pass {
	tb.Helper()
	r, err := capture.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	s := &pass{Reader: r, state: host.New(host.Options{})}
	s.state.Load(r.Snapshot())
	return s
}

// replay reads up to n events and returns how many there were.
func (s *pass) replay(tb testing.TB, p *pipeline, n int) int {
	for i := range n {
		if err := s.Next(&s.ev); errors.Is(err, io.EOF) {
			return i
		} else if err != nil {
			tb.Fatal(err)
		}
		s.state.Apply(&s.ev, &s.he)
		p.judge(&s.he)
	}
	return n
}

// scenePath writes the scene, unless the environment names another capture.
func scenePath(tb testing.TB, events int) string {
	tb.Helper()
	if path := os.Getenv(replayCapture); path != "" {
		return path
	}
	path := filepath.Join(tb.TempDir(), "scene.scap")
	if err := writeScene(path, events); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkReplay replays a capture from the file to the text of alerts. One
// operation is one event; opening the file and loading the snapshot do not count.
func BenchmarkReplay(b *testing.B) {
	path := scenePath(b, sceneEvents)
	for _, c := range []struct {
		name  string
		rules []rule.File
	}{{"no rule", nil}, {"one rule", []rule.File{oneRule}}, {"all rules", allRules()}} {
		b.Run(c.name, func(b *testing.B) {
			p := newPipeline(b, c.rules...)
			b.ReportAllocs()
			var cpu time.Duration
			var allocs uint64
			for done := 0; done < b.N; {
				b.StopTimer()
				s := newPass(b, path)
				cpu, allocs = cpu-cpuTime(b), allocs-mallocs()
				b.StartTimer()
				n := s.replay(b, p, b.N-done)
				b.StopTimer()
				cpu, allocs = cpu+cpuTime(b), allocs+mallocs()
				if n == 0 {
					b.Fatal("the capture has no events")
				}
				done += n
				_ = s.Close()
				b.StartTimer()
			}
			events := float64(b.N)
			b.ReportMetric(events/b.Elapsed().Seconds()/1e6, "Mevents/s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
			b.ReportMetric(float64(cpu.Nanoseconds())/events, "cpu-ns/event")
			b.ReportMetric(float64(allocs)*1e3/events, "allocs/1000")
			b.ReportMetric(float64(p.alerts)*1e6/events, "alerts/Mevent")
			if p.engine != nil {
				b.ReportMetric(float64(len(p.engine.Rules())), "rules")
			}
		})
	}
}

// cpuTime returns the CPU time of this process, all threads: with other
// programs on the machine it says more than the time that went by.
func cpuTime(tb testing.TB) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// mallocs returns the number of allocations so far: whole allocations per
// event, as the testing package tells them, would be 0 for many a mistake.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// TestSceneIsWhole reads a scene back: the numbers of the benchmark are worth
// nothing if it holds something else than it should.
func TestSceneIsWhole(t *testing.T) {
	t.Setenv(replayCapture, "")
	const events = 50_000
	s := newPass(t, scenePath(t, events))
	defer s.Close()
	p, one := newPipeline(t, allRules()...), newPipeline(t, oneRule)
	hidden := 0 // what the file starts with: users and containers
	shown := 0
	for s.replay(t, p, 1) == 1 {
		one.judge(&s.he)
		if s.ev.Hidden {
			hidden++
		} else {
			shown++
		}
	}
	if shown != events || hidden < containers {
		t.Errorf("%d events and %d hidden ones read, want %d and at least %d", shown, hidden, events, containers)
	}
	if p.alerts == 0 || one.alerts == 0 {
		t.Errorf("%d alerts of all rules and %d of one tell of the thefts", p.alerts, one.alerts)
	}
	if got := s.state.Stats(); got.MissingThreads > 0 || got.MissingFDs > 0 || got.InferredThreads > 0 {
		t.Errorf("events refer to what is not there: %+v", got)
	}
}
