// Command bench measures Rollcage and its peers on this machine and prints
// what it found: how fast captures are replayed, what watching the live host
// costs the programs on it, and what the watcher takes itself.
//
// Everything is measured in rounds, each of which tries all variants, and
// reported as the median of the rounds with the lowest and the highest. It is
// started by run.sh, which builds what it needs; see docs/performance.md.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	rollcage   string // executables
	workload   string
	replayTest string
	sysdigs    []string
	rounds     int
	dir        string    // for captures
	begin, end time.Time // of the run, at most
	out        io.Writer
}

func main() {
	// The programs that are started die with the thread that started them.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	var b bench
	var sysdigs, report, doc, dir string
	flag.StringVar(&b.rollcage, "rollcage", "bin/rollcage", "the program to measure")
	flag.StringVar(&b.workload, "workload", "", "the built package workload")
	flag.StringVar(&b.replayTest, "replay-test", "", "the built tests of this package")
	flag.StringVar(&sysdigs, "sysdigs", "", "sysdigs to compare replay with, separated by commas")
	flag.StringVar(&report, "report", "", "file for the report, beside standard output")
	flag.StringVar(&doc, "doc", "", "document with the report of a run, to put this one in its place")
	flag.StringVar(&dir, "dir", os.TempDir(), "where captures go; about 500 MB")
	flag.IntVar(&b.rounds, "rounds", 5, "how often everything is measured")
	only := flag.String("only", "", "replay or live, both if not given")
	limit := flag.Duration("limit", 8*time.Minute, "how long it may take: a slow machine gets fewer rounds")
	flag.Parse()
	b.begin = time.Now()
	b.end = b.begin.Add(*limit)
	if sysdigs != "" {
		b.sysdigs = strings.Split(sysdigs, ",")
	}
	var err error
	if b.dir, err = os.MkdirTemp(dir, "rollcage-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	var text bytes.Buffer
	b.out = io.MultiWriter(os.Stdout, &text)
	fmt.Fprintf(b.out, "Rollcage benchmark of %s\n\n%s\n", b.begin.Format("2006-01-02 15:04 MST"),
		strings.Join(machine(b.rollcage), "\n"))
	if *only != "live" {
		if err := b.reportReplay(ctx); err != nil {
			return err
		}
	}
	if *only != "replay" {
		if err := b.reportLive(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "\ntook %v\n", time.Since(b.begin).Round(time.Second))
	if report != "" {
		if err := os.WriteFile(report, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if doc != "" {
		return updateDocument(doc, text.String())
	}
	return nil
}

// The lines of a document that a report stands between.
const (
	reportBegin = "<!-- report -->\n```\n"
	reportEnd   = "```\n<!-- end of report -->\n"
)

// updateDocument puts a report in the place of the one that a document has.
func updateDocument(path, report string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(data), reportBegin)
	_, after, ends := strings.Cut(rest, reportEnd)
	if !begins || !ends {
		return fmt.Errorf("%s: no place for the report: want %q and %q", path, reportBegin, reportEnd)
	}
	return os.WriteFile(path, []byte(before+reportBegin+report+reportEnd+after), 0o644)
}

// eachRound calls measure for each round and returns how many there were: at
// least one, and no more than may be over when the given share of the time is.
func (b *bench) eachRound(ctx context.Context, rounds int, share float64, measure func(round int) error) (int, error) {
	deadline := b.begin.Add(time.Duration(share * float64(b.end.Sub(b.begin))))
	start := time.Now()
	for round := range rounds {
		if round > 0 && time.Now().Add(time.Since(start)/time.Duration(round)).After(deadline) {
			b.progress("no time for more than %d of %d rounds", round, rounds)
			return round, nil
		}
		if err := measure(round); err != nil || ctx.Err() != nil {
			return round, errors.Join(err, ctx.Err())
		}
	}
	return rounds, nil
}

// progress tells what is going on.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
