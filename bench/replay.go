package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// replayCapture is the variable that names a capture to replay instead of the scene.
const replayCapture = "ROLLCAGE_BENCH_CAPTURE"

// sceneEvents is the length of the scene that is replayed.
const sceneEvents = 1_000_000

// replayed holds the metrics of BenchmarkReplay: by benchmark, by unit.
type replayed struct {
	names   []string // in the order of the benchmark
	metrics map[string]map[string]spread
}

// passes is the number of events that each measurement of a replay takes.
const passes = 2_000_000

// replay runs BenchmarkReplay once over a capture.
func (b *bench) replay(ctx context.Context, path string, into *replayed) error {
	cmd := command(ctx, b.replayTest, "-test.run", "^$", "-test.bench", "^BenchmarkReplay$",
		"-test.benchtime", fmt.Sprintf("%dx", passes))
	cmd.Env = append(cmd.Environ(), replayCapture+"="+path)
	out, err := run(cmd)
	if err != nil {
		return fmt.Errorf("%w%s", err, out)
	}
	return into.add(string(out))
}

// add adds the results that a Go benchmark printed.
func (r *replayed) add(out string) error {
	found := false
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		name, ok := strings.CutPrefix(line, "BenchmarkReplay/")
		if !ok || len(words) < 4 {
			continue
		}
		found = true
		name, _, _ = strings.Cut(strings.Fields(name)[0], "-")
		name = strings.ReplaceAll(name, "_", " ")
		if r.metrics == nil {
			r.metrics = map[string]map[string]spread{}
		}
		if r.metrics[name] == nil {
			r.metrics[name] = map[string]spread{}
			r.names = append(r.names, name)
		}
		for i := 2; i+1 < len(words); i += 2 {
			v, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
			r.metrics[name][words[i+1]] = append(r.metrics[name][words[i+1]], v)
		}
	}
	if !found {
		return fmt.Errorf("the benchmark printed no result:\n%s", out)
	}
	return nil
}

// reader is a program that reads captures.
type reader struct {
	name string
	args []string // the capture goes after -r, the rest behind it
}

// comparedFilter matches a little: what is measured is reading and judging, not printing.
const (
	comparedFilter = "fd.name=/srv/www/page1.html"
	comparedFormat = "%evt.num %proc.name %fd.name"
)

// read is what was measured of a reader.
type read struct {
	wall, cpu spread // seconds
	answer    []byte
	err       error
}

// readers returns the programs to compare on the scene.
func (b *bench) readers() []reader {
	out := []reader{{"rollcage observe", []string{b.rollcage, "observe"}}}
	for _, path := range b.sysdigs {
		v, err := command(context.Background(), path, "--version").Output()
		if err != nil {
			b.progress("%s: %v", path, err)
			continue
		}
		name := regexp.MustCompile(`sysdig version [0-9.]+`).FindString(string(v))
		out = append(out, reader{strings.Replace(name, " version", "", 1), []string{path}})
	}
	return out
}

// compare lets each reader read a capture once.
func (b *bench) compare(ctx context.Context, readers []reader, path string, into []*read) {
	for i, r := range readers {
		m := into[i]
		if m.err != nil {
			continue
		}
		args := append(append([]string{}, r.args...), "-r", path, "-p", comparedFormat, comparedFilter)
		cmd := command(ctx, args...)
		start := time.Now()
		out, err := run(cmd)
		if err != nil {
			m.err = err
			continue
		}
		m.wall = append(m.wall, time.Since(start).Seconds())
		m.cpu = append(m.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
		m.answer = out
	}
}

// sameAnswer says whether readers found the same events.
func sameAnswer(a, b []byte) string {
	switch {
	case len(a) == 0:
		return "none"
	case bytes.Equal(a, b):
		return fmt.Sprintf("same %d", bytes.Count(a, []byte("\n")))
	}
	return fmt.Sprintf("%d, others", bytes.Count(b, []byte("\n")))
}

// scene writes the scene into a file.
func (b *bench) scene() (string, error) {
	path := filepath.Join(b.dir, "scene.scap")
	return path, writeScene(path, sceneEvents)
}

// megabytes returns the size of a file.
func megabytes(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size()) / 1e6
}
