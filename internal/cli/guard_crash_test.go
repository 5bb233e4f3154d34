package cli

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
)

// receiver is a server of alerts that is down at times.
type receiver struct {
	*httptest.Server
	down atomic.Bool

	mu    sync.Mutex
	ids   map[string]int // how often each came
	rules map[string]int // of each once
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{ids: map[string]int{}, rules: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || r.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var a struct{ UUID, Rule string }
		if json.Unmarshal(body, &a) != nil || a.UUID == "" {
			t.Errorf("received %q", body)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ids[a.UUID]++; r.ids[a.UUID] == 1 {
			r.rules[a.Rule]++
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// count returns how many alerts there are, doubles left out, and how many came more than once.
func (r *receiver) count() (n, twice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.ids {
		if times > 1 {
			twice++
		}
	}
	return len(r.ids), twice
}

// busy does what raises alerts, again and again, until it is stopped.
func busy(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for range 2 {
		done.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("cat", "/etc/shadow").Run()
				time.Sleep(3 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); done.Wait() })
	return func() { cancel(); done.Wait() }
}

// alertsIn returns the IDs of the alerts in the incidents, and how often each is there.
func alertsIn(t *testing.T, g *guarded) map[string]int {
	t.Helper()
	dir := guard.EvidenceDir(g.state)
	folders, err := os.ReadDir(filepath.Join(dir, "incidents"))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for _, f := range folders {
		if _, err := evidence.ReadIncident(dir, f.Name(), func(r *evidence.Record) error {
			if r.Kind != evidence.KindAlert {
				return nil
			}
			var rec evidence.AlertRecord
			if err := json.Unmarshal(r.Data, &rec); err != nil {
				return err
			}
			var a struct{ ID string }
			err := json.Unmarshal(rec.Alert, &a)
			ids[a.ID]++
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	return ids
}

// TestKillsOfGuardLoseAndDoubleNothing kills it at random points under load, ROLLCAGE_TEST_KILLS times (5 if
// not set), while the receiver is down half of the time. Every alert in an incident, which is written before the
// alert is acknowledged, and every alert in the outbox must reach the receiver once.
func TestKillsOfGuardLoseAndDoubleNothing(t *testing.T) {
	if os.Getuid() != 0 || probe.Supported() != nil {
		t.Skip("needs root and BPF")
	}
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("ROLLCAGE_TEST_KILLS")); err == nil {
		kills = n
	}
	r := newReceiver(t)
	g := newGuarded(t, "--docker", "off", "--black-box", "2", "--out-http", r.URL, "-q")
	stop := busy(t)
	acknowledged := uint64(0)
	for k := range kills {
		r.down.Store(k%2 == 1)
		g.begin(t)
		// One in four is killed while it starts, the others while they work.
		if k%4 == 3 {
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		} else {
			g.until(t, "work", func() bool { s, err := g.client().Status(t.Context()); return err == nil && s.Kept > 0 })
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
			acknowledged += g.status(t).Kept
		}
		_ = g.cmd.Process.Kill()
		<-g.ended
	}
	stop()
	r.down.Store(false)
	g.start(t)
	g.until(t, "delivery of all", func() bool { return g.status(t).Outputs[0].Waiting == 0 })
	g.end(t, syscall.SIGTERM)
	rep := g.verify(t)
	kept := alertsIn(t, g)
	n, twice := r.count()
	lost, double := 0, 0
	for id, times := range kept {
		if times > 1 {
			double++
		}
		if r.ids[id] == 0 {
			lost++ // in evidence and not in the outbox: killed in between, never acknowledged
		}
	}
	unknown := 0
	for id := range r.ids {
		if kept[id] == 0 {
			unknown++
		}
	}
	t.Logf("%d kills: at least %d acknowledged, %d alerts in %d incidents, %d received (%d of them more than once); %d only in evidence, %d received that are in no incident (those about Rollcage itself)",
		kills, acknowledged, len(kept), rep.Incidents, n, twice, lost, unknown)
	if uint64(n) < acknowledged || n == 0 {
		t.Errorf("%d received, at least %d were acknowledged", n, acknowledged)
	}
	if lost > kills {
		t.Errorf("%d alerts are in incidents and were not received: more than one for each kill", lost)
	}
	if double > 0 {
		t.Errorf("%d alerts are in incidents twice", double)
	}
	internal := 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for rule, times := range r.rules {
		if strings.HasPrefix(rule, "Rollcage internal") {
			internal += times
		}
	}
	if unknown > internal {
		t.Errorf("%d alerts were received and are in no incident, of which only %d are about Rollcage itself", unknown, internal)
	}
}

// TestAFullDiskLosesNoAcknowledgedAlert has the state on a small file system that fills up.
func TestAFullDiskLosesNoAcknowledgedAlert(t *testing.T) {
	if os.Getuid() != 0 || probe.Supported() != nil {
		t.Skip("needs root and BPF")
	}
	r := newReceiver(t)
	g := newGuarded(t, "--docker", "off", "--black-box", "0", "--out-http", r.URL, "-q")
	if err := os.MkdirAll(g.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", g.state, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(g.state, unix.MNT_DETACH) })
	g.start(t)
	stop := busy(t)
	g.until(t, "alerts", func() bool { return g.status(t).Kept > 5 })
	filler := filepath.Join(g.state, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, zeros{})
	f.Close()
	if err == nil {
		t.Fatal("the disk did not get full")
	}
	full, _ := r.count()
	g.until(t, "alerts while the disk is full", func() bool { n, _ := r.count(); return n > full+20 && g.status(t).Late > 0 })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	stop()
	g.until(t, "records of what waited", func() bool { s := g.status(t); return s.Late == 0 && s.Waiting == 0 && s.Outputs[0].Waiting == 0 })
	s := g.status(t)
	g.end(t, syscall.SIGTERM)
	g.verify(t)
	kept := alertsIn(t, g)
	n, twice := r.count()
	t.Logf("%d alerts raised, %d received (%d more than once), %d in incidents, %d lost, %d unkept", s.Alerts, n, twice, len(kept), s.Lost, s.Unkept)
	if s.Lost > 0 || s.Unkept > 0 {
		t.Errorf("%d lost, %d in no incident", s.Lost, s.Unkept)
	}
	for id := range kept {
		if r.ids[id] == 0 {
			t.Errorf("alert %s was not received", id)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
