// Command soak runs rollcage guard under the heaviest mix of load that this machine gives, for a long time, and prints whether
// its memory stays flat and whether events or alerts were lost. soak.sh builds what it needs and starts it; see docs/guard.md.
//
// The mix, all without a pause: programs that are started, files that are opened, data that is written and read, connections;
// and twice a second something that raises an alert. Guard runs as it does without flags, but without container runtimes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// sampleEvery is how often guard is looked at.
const sampleEvery = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rollcage := flag.String("rollcage", "bin/rollcage", "the program")
	workload := flag.String("workload", "", "the built package workload")
	length := flag.Duration("for", 30*time.Minute, "how long")
	flag.Parse()
	if err := soak(ctx, *rollcage, *workload, *length); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// status is what is looked at of guard's status.
type status struct {
	Healthy     bool
	Events      uint64
	Dropped     uint64
	Drops       map[string]uint64
	Alerts      uint64
	AlertsKept  uint64 `json:"alerts_kept"`
	AlertsLost  uint64 `json:"alerts_lost"`
	AlertsUnkpt uint64 `json:"alerts_unkept"`
	Captures    uint64
	Shed        string
	Usage       struct {
		Memory int64
		CPUs   float64
	}
	Outputs []struct{ Sent, Waiting uint64 }
}

func soak(ctx context.Context, rollcage, workload string, length time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	state, run := filepath.Join(dir, "state"), filepath.Join(dir, "run")
	guard := exec.Command(rollcage, "guard", "--runtime", "off", "-q", "--serve", "", "--state", state, "--run", run, "--out-file", filepath.Join(dir, "alerts"))
	guard.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	guard.Stderr = log
	if err := guard.Start(); err != nil {
		return err
	}
	look := func() (s status, err error) {
		out, err := exec.Command(rollcage, "status", "--run", run, "-o", "json").Output()
		if len(out) == 0 {
			return s, err
		}
		return s, json.Unmarshal(out, &s) // an exit code of 3 says what Healthy says
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if s, err := look(); err == nil && s.Healthy {
			break
		} else if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("guard does not get healthy: %w", err), guard.Process.Kill())
		}
	}
	loadCtx, stopLoad := context.WithTimeout(ctx, length)
	defer stopLoad()
	var load sync.WaitGroup
	for _, args := range [][]string{{workload, "forkexec", "2000"}, {workload, "readwrite", "500000"}, {workload, "openclose", "500000"}, {workload, "requests", "20000"}} {
		load.Go(func() {
			for loadCtx.Err() == nil {
				_ = exec.CommandContext(loadCtx, args[0], args[1:]...).Run()
			}
		})
	}
	load.Go(func() {
		for loadCtx.Err() == nil {
			_ = exec.CommandContext(loadCtx, "cat", "/etc/shadow").Run()
			time.Sleep(500 * time.Millisecond)
		}
	})
	samples, unhealthy := watch(loadCtx, look)
	load.Wait()
	time.Sleep(2 * time.Second) // what is on its way
	last, err := look()
	if err != nil {
		return err
	}
	_ = guard.Process.Signal(syscall.SIGTERM)
	if err := guard.Wait(); err != nil {
		b, _ := os.ReadFile(log.Name())
		return fmt.Errorf("guard ended: %w\n%s", err, b)
	}
	verified, verr := exec.Command(rollcage, "evidence", "verify", "--evidence", filepath.Join(state, "evidence")).CombinedOutput()
	report(length, samples, unhealthy, &last)
	fmt.Printf("evidence: %s", verified)
	return verr
}

// watch looks at guard until ctx ends.
func watch(ctx context.Context, look func() (status, error)) (samples []status, unhealthy int) {
	for {
		select {
		case <-ctx.Done():
			return samples, unhealthy
		case <-time.After(sampleEvery):
		}
		s, err := look()
		if err != nil {
			fmt.Fprintln(os.Stderr, "soak: no status:", err)
			continue
		}
		if !s.Healthy {
			unhealthy++
		}
		samples = append(samples, s)
		if len(samples)%60 == 0 {
			fmt.Fprintf(os.Stderr, "soak: %d samples, %d million events, %d lost, %d MB\n", len(samples), s.Events/1e6, s.Dropped, s.Usage.Memory>>20)
		}
	}
}

func report(length time.Duration, samples []status, unhealthy int, last *status) {
	fmt.Printf("%v: %.1f million events, %d lost %v; %d alerts raised, %d kept, %d lost, %d in no incident; %d captures; unhealthy in %d of %d looks\n",
		length, float64(last.Events)/1e6, last.Dropped, last.Drops, last.Alerts, last.AlertsKept, last.AlertsLost, last.AlertsUnkpt, last.Captures, unhealthy, len(samples))
	for _, o := range last.Outputs {
		fmt.Printf("output: %d sent, %d waiting\n", o.Sent, o.Waiting)
	}
	const parts = 4
	for i := range parts {
		part := samples[i*len(samples)/parts : (i+1)*len(samples)/parts]
		var memory []int64
		var cpus float64
		shed := 0
		for _, s := range part {
			memory, cpus = append(memory, s.Usage.Memory), cpus+s.Usage.CPUs
			if s.Shed != "" {
				shed++
			}
		}
		if len(part) == 0 {
			continue
		}
		slices.Sort(memory)
		fmt.Printf("quarter %d: memory %d MB median, %d MB at most; %.2f CPUs; shedding in %d of %d looks\n",
			i+1, memory[len(memory)/2]>>20, memory[len(memory)-1]>>20, cpus/float64(len(part)), shed, len(part))
	}
}
