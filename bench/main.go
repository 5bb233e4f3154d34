// Command bench measures Rollcage and its peers on this machine and prints
// what it found: how fast captures are replayed, what watching the live host
// costs the programs on it, and what the watcher takes itself.
//
// Everything is measured in rounds, each of which tries all variants, and
// reported as the median of the rounds with the lowest and the highest. It is
// started by run.sh, which builds what it needs; see docs/performance.md.
package main

import (
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
	var sysdigs, report, dir string
	flag.StringVar(&b.rollcage, "rollcage", "bin/rollcage", "the program to measure")
	flag.StringVar(&b.workload, "workload", "", "the built package workload")
	flag.StringVar(&b.replayTest, "replay-test", "", "the built tests of this package")
	flag.StringVar(&sysdigs, "sysdigs", "", "sysdigs to compare replay with, separated by commas")
	flag.StringVar(&report, "report", "", "file for the report, beside standard output")
	flag.StringVar(&dir, "dir", os.TempDir(), "where captures go; about 500 MB")
	flag.IntVar(&b.rounds, "rounds", 5, "how often everything is measured")
	only := flag.String("only", "", "replay or live, both if not given")
	limit := flag.Duration("limit", 5*time.Minute, "how long it may take: a slow machine gets fewer rounds")
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
	b.out = os.Stdout
	if report != "" {
		f, err := os.Create(report)
		if err != nil {
			return err
		}
		defer f.Close()
		b.out = io.MultiWriter(os.Stdout, f)
	}
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
	return nil
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
