package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// recording is a capture to replay, and what was measured of it.
type recording struct {
	name, path string
	replayed
}

// captures makes the captures to replay: one that is the same everywhere, and
// one of this host if it can be watched.
func (b *bench) captures(ctx context.Context) ([]*recording, error) {
	b.progress("making captures")
	scene, err := b.scene()
	if err != nil {
		return nil, err
	}
	out := []*recording{{name: "made-up host", path: scene}}
	recorded, err := b.record(ctx)
	if err != nil {
		b.progress("no capture of this host: %v", err)
		return out, ctx.Err()
	}
	return append(out, &recording{name: "this host", path: recorded}), nil
}

// reportReplay measures how fast captures are read and judged.
func (b *bench) reportReplay(ctx context.Context) error {
	captures, err := b.captures(ctx)
	if err != nil {
		return err
	}
	readers := b.readers()
	reads := make([]*read, len(readers))
	for i := range reads {
		reads[i] = &read{}
	}
	rounds, err := b.eachRound(ctx, b.rounds, 0.4, func(round int) error {
		b.progress("round %d: replay", round+1)
		for _, c := range captures {
			if err := b.replay(ctx, c.path, &c.replayed); err != nil {
				return err
			}
		}
		b.compare(ctx, readers, captures[0].path, reads)
		return nil
	})
	if err != nil {
		return err
	}
	t := table{title: fmt.Sprintf("Replay: from the file to the text of alerts, one goroutine, %d rounds", rounds)}
	t.row("capture", "rules", "Mevents/s", "ns/event", "low high", "CPU ns/event", "allocations/1000", "alerts/million")
	for _, c := range captures {
		for _, name := range c.names {
			m := c.metrics[name]
			if n := m["rules"].median(); n > 1 {
				name = fmt.Sprintf("%s: %.0f", name, n)
			}
			t.row(fmt.Sprintf("%s, %.0f MB", c.name, megabytes(c.path)), name,
				number(m["Mevents/s"], 1), number(m["ns/event"], 1), m["ns/event"].deviation(), number(m["cpu-ns/event"], 1),
				number(m["allocs/1000"], 1), number(m["alerts/Mevent"], 1))
		}
	}
	if err := t.write(b.out); err != nil {
		return err
	}
	return b.reportReaders(readers, reads)
}

// reportReaders compares whole programs, with their start.
func (b *bench) reportReaders(readers []reader, reads []*read) error {
	t := table{title: fmt.Sprintf("Replay of the made-up host by whole programs: -r FILE '%s'", comparedFilter)}
	t.row("program", "Mevents/s", "seconds", "low high", "CPU s", "× time", "matches")
	for i, r := range readers {
		m := reads[i]
		if m.err != nil {
			t.failed(r.name, m.err)
			continue
		}
		t.row(r.name, fmt.Sprintf("%.3g", sceneEvents/m.wall.median()/1e6), fmt.Sprintf("%.2f", m.wall.median()), m.wall.deviation(),
			fmt.Sprintf("%.2f", m.cpu.median()), m.wall.over(reads[0].wall), sameAnswer(reads[0].answer, m.answer))
	}
	return t.write(b.out)
}

// reportLive measures what watching the host costs.
func (b *bench) reportLive(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("watching the live host needs root; -only replay does not")
	}
	watchers, err := tracers()
	if err != nil {
		return err
	}
	results, rounds, err := b.live(ctx, loads, tools)
	if err != nil {
		return err
	}
	for _, l := range loads {
		t := table{title: fmt.Sprintf("Live, %s: %s; %d rounds", l.name, l.about, rounds)}
		t.row("tool", "ns/"+l.op, "low high", "× time", "CPU ns/"+l.op, "× CPU",
			"tool CPU ns/"+l.op, "tool CPUs", "RSS MB", "peak MB", "own MB", "lost")
		none := results[l.name][0]
		for i, m := range results[l.name] {
			if m.err != nil {
				t.failed(tools[i].name, m.err)
				continue
			}
			t.row(tools[i].name, number(m.wall, 1), m.wall.deviation(), m.wall.over(none.wall), number(m.cpu, 1), m.cpu.over(none.cpu),
				number(m.toolCPU, 1), number(m.share, 1), number(m.rss, 1e6), number(m.peak, 1e6), number(m.own, 1e6), m.losses(&tools[i]))
		}
		if err := t.write(b.out); err != nil {
			return err
		}
	}
	if now, err := tracers(); err != nil || now+watchers > 0 {
		fmt.Fprintf(b.out, "  %d BPF programs of others watched this host before, %d after: these numbers are not ours alone\n", watchers, now)
	}
	return b.reportIdle(ctx)
}

// reportIdle measures what the tools take when there is little to watch.
func (b *bench) reportIdle(ctx context.Context) error {
	var own []tool
	for _, t := range tools {
		if t.counts {
			own = append(own, t)
		}
	}
	results, _, err := b.live(ctx, []load{idleLoad}, own)
	if err != nil {
		return err
	}
	t := table{title: "Live, idle: " + idleLoad.about}
	t.row("tool", "tool CPUs", "RSS MB", "peak MB", "own MB", "lost")
	for i, m := range results[idleLoad.name] {
		if m.err != nil {
			t.failed(own[i].name, m.err)
			continue
		}
		t.row(own[i].name, number(m.share, 1), number(m.rss, 1e6), number(m.peak, 1e6), number(m.own, 1e6), m.losses(&own[i]))
	}
	return t.write(b.out)
}

// losses says how many events were lost, and in how many rounds.
func (m *measured) losses(t *tool) string {
	switch {
	case !t.counts:
		return "-"
	case m.lost == 0:
		return "0"
	}
	return fmt.Sprintf("%d in %d of %d", m.lost, m.lossy, len(m.wall))
}

// number writes the median of s in a unit, with three digits.
func number(s spread, unit float64) string {
	if len(s) == 0 {
		return "-"
	}
	switch v := s.median() / unit; {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.01:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.1g", v)
	}
}
