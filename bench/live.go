package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// load is a loop of package workload.
type load struct {
	name, about string
	op          string // what it does
	ops         int    // how often, without a tool
}

var loads = []load{
	{"openclose", "open and close a file, one thread", "pair", 300_000},
	{"readwrite", "write 4 KiB to a pipe and read them", "pair", 300_000},
	{"forkexec", "fork, exec /bin/true, wait", "run", 500},
	{"requests", "a client and a server on loopback, a connection for each request", "request", 20_000},
}

// idleLoad tells what a tool takes when there is nothing to do.
var idleLoad = load{"idle", "nothing to do for 3 seconds", "ms", 3000}

// measured is what was measured of one tool under one load.
type measured struct {
	wall, cpu      spread // ns per operation, of the workload itself
	share          spread // CPUs that the tool took while the workload ran
	toolCPU        spread // ns per operation that the tool took, until it had caught up
	rss, peak, own spread // bytes, as in usage
	lost           uint64 // events
	lossy          int    // rounds in which events were lost
	err            error
}

// live measures all tools under all loads, one after the other in each round,
// and begins with another tool in each, so that what else happens on the
// machine hits all alike. It returns what was measured by load, in the order of
// the tools, and the number of rounds.
func (b *bench) live(ctx context.Context, loads []load, tools []tool) (map[string][]*measured, int, error) {
	out := map[string][]*measured{}
	for _, l := range loads {
		for range tools {
			out[l.name] = append(out[l.name], &measured{})
		}
	}
	rounds, err := b.eachRound(ctx, b.rounds, 1, func(round int) error {
		for _, l := range loads {
			for i := range tools {
				at := (i + round) % len(tools)
				m := out[l.name][at]
				if m.err != nil {
					continue
				}
				b.progress("round %d: %s, %s", round+1, l.name, tools[at].name)
				if m.err = b.sample(ctx, l, &tools[at], m); ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
		return nil
	})
	return out, rounds, err
}

// result is what the workload prints.
type result struct {
	Ops    int   `json:"ops"`
	WallNS int64 `json:"wall_ns"`
	CPUNS  int64 `json:"cpu_ns"`
}

// sample runs a tool and under it a load, once.
func (b *bench) sample(ctx context.Context, l load, t *tool, m *measured) error {
	s, err := t.start(ctx, b)
	if err != nil {
		return err
	}
	var before, after usage
	if s.pid != 0 {
		if before, err = settle(s.pid, 5*time.Second); err != nil {
			return stopAfter(s, err)
		}
	}
	ops := l.ops
	if l.name != idleLoad.name {
		ops = max(1, l.ops/t.divide)
	}
	cmd := command(ctx, append(s.under, b.workload, l.name, strconv.Itoa(ops))...)
	cmd.Env = append(cmd.Environ(), quiet)
	out, err := run(cmd)
	if err != nil {
		return stopAfter(s, err)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return stopAfter(s, fmt.Errorf("the workload said %q: %w", out, err))
	}
	n := float64(r.Ops)
	m.wall, m.cpu = append(m.wall, float64(r.WallNS)/n), append(m.cpu, float64(r.CPUNS)/n)
	switch {
	case s.pid != 0:
		// What it did until the load ended, and what it still had to do then.
		during, err := usageOf(s.pid)
		if err == nil {
			after, err = settle(s.pid, 10*time.Second)
		}
		if err != nil {
			return stopAfter(s, err)
		}
		m.tool(during.cpu-before.cpu, after.cpu-before.cpu, &r)
		m.rss, m.peak = append(m.rss, float64(after.rss)), append(m.peak, float64(after.peak))
		m.own = append(m.own, float64(after.own))
	case s.under != nil:
		// The tool waits for the workload, so its times include the workload's.
		own := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() - time.Duration(r.CPUNS)
		m.tool(own, own, &r)
	}
	sum, err := s.stop()
	if sum.lost > 0 {
		m.lost += sum.lost
		m.lossy++
	}
	return err
}

// tool notes the CPU time that a tool took during a load, and in all for it.
func (m *measured) tool(during, all time.Duration, r *result) {
	m.share = append(m.share, float64(during)/float64(r.WallNS))
	m.toolCPU = append(m.toolCPU, float64(all)/float64(r.Ops))
}

func stopAfter(s *session, err error) error {
	_, _ = s.stop() // err is the one that matters
	return err
}
