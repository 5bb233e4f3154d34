package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
)

// receiver is a server of alerts that is down at times.
type receiver struct {
	*httptest.Server
	name string
	down atomic.Bool

	mu    sync.Mutex
	ids   map[string]int // how often each came
	order []string       // all that came, doubles too
}

// The IDs of the alerts in what an output sends.
var (
	uuidOf = regexp.MustCompile(`"uuid":"([^"]+)"`)                                             // --out-http
	uidOf  = regexp.MustCompile(`"key":"log\.record\.uid","value":\{"stringValue":"([^"]+)"\}`) // --out-otlp
	footOf = regexp.MustCompile(`"footer":"([^"]+)"`)                                           // --out-slack
)

func newReceiver(t *testing.T, name string, id *regexp.Regexp) *receiver {
	r := makeReceiver(t, name, id)
	r.Start()
	return r
}

func newTLSReceiver(t *testing.T, name string, id *regexp.Regexp) *receiver {
	r := makeReceiver(t, name, id)
	r.StartTLS()
	return r
}

func makeReceiver(t *testing.T, name string, id *regexp.Regexp) *receiver {
	r := &receiver{name: name, ids: map[string]int{}}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || r.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		found := id.FindAllSubmatch(body, -1)
		if len(found) == 0 {
			t.Errorf("%s received %q", name, body)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range found {
			r.ids[string(m[1])]++
			r.order = append(r.order, string(m[1]))
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

// remembered is how many IDs a receiver is to remember to drop doubles, as docs/formats/outbox.md says.
const remembered = 10000

// deduplicated returns what a receiver has that drops doubles as documented.
func deduplicated(order []string) (once []string) {
	var last [remembered]string
	known := map[string]bool{}
	for _, id := range order {
		if known[id] {
			continue
		}
		slot := &last[len(once)%remembered]
		delete(known, *slot)
		*slot, known[id] = id, true
		once = append(once, id)
	}
	return once
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

// keptAlert is an alert in an incident.
type keptAlert struct {
	id string
	at time.Time // when it was written
}

// alertsIn returns the alerts in the incidents, in the order in which they were written.
func alertsIn(t *testing.T, g *guarded) (all []keptAlert) {
	t.Helper()
	dir := guard.EvidenceDir(g.state)
	folders, err := os.ReadDir(filepath.Join(dir, "incidents"))
	if err != nil {
		t.Fatal(err)
	}
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
			all = append(all, keptAlert{a.ID, r.Time})
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	slices.SortStableFunc(all, func(a, b keptAlert) int { return a.at.Compare(b.at) })
	return all
}

// acknowledged is an alert that was found in the outbox.
type acknowledged struct {
	id, source string
	run        uint64 // of guard
}

// ledger is what was acknowledged: read from the segments of the outbox, by the
// document of their format and not by the code that is tested.
type ledger struct {
	all  []acknowledged // in the order of their numbers
	byID map[string]int // index in all
	next uint64         // number after the last one
	ends map[string]int64
}

// read takes down what is new in an outbox that nobody writes, and returns how many alerts the last run acknowledged.
func (l *ledger) read(t *testing.T, dir string) (lastRun uint64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	known := map[string]bool{}
	for _, path := range paths {
		known[path] = true
		l.segment(t, path)
	}
	for path := range l.ends {
		if !known[path] {
			t.Fatalf("%s with %d bytes of alerts is gone though an output lacks them", path, l.ends[path])
		}
	}
	for i := len(l.all) - 1; i >= 0 && l.all[i].run == l.all[len(l.all)-1].run; i-- {
		lastRun++
	}
	return lastRun
}

func (l *ledger) segment(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const head, recordHead = 32, 16
	if len(b) < head {
		return // torn when it began
	}
	run := binary.LittleEndian.Uint64(b[8:])
	at := max(head, l.ends[path])
	for int(at)+recordHead <= len(b) {
		n := int64(binary.LittleEndian.Uint32(b[at:]))
		if n == 0 || at+recordHead+n > int64(len(b)) {
			break
		}
		record := b[at+8 : at+recordHead+n]
		if crc32.Checksum(record, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[at+4:]) {
			break // torn by the kill: never acknowledged
		}
		var a struct{ ID, Source string }
		if err := json.Unmarshal(record[8:], &a); err != nil {
			t.Fatal(err)
		}
		if seq := binary.LittleEndian.Uint64(record); seq != l.next && len(l.all) > 0 {
			t.Errorf("alert %d follows %d", seq, l.next-1)
		}
		l.next = binary.LittleEndian.Uint64(record) + 1
		l.add(t, acknowledged{a.ID, a.Source, run})
		at += recordHead + n
	}
	if at > head { // one without alerts may go
		l.ends[path] = at
	}
}

func (l *ledger) add(t *testing.T, a acknowledged) {
	if _, twice := l.byID[a.id]; twice {
		t.Errorf("alert %s is in the outbox twice", a.id)
	}
	l.byID[a.id] = len(l.all)
	l.all = append(l.all, a)
}

// compareReceived finds what an output lacks, has twice or in another order, or should not have.
func (l *ledger) compareReceived(t *testing.T, name string, order []string) {
	t.Helper()
	once := deduplicated(order)
	for i, a := range l.all {
		if i >= len(once) || once[i] != a.id {
			got := "nothing"
			if i < len(once) {
				got = once[i]
			}
			t.Errorf("%s: alert %d of %d is to be %s, got %s (of %d)", name, i, len(l.all), a.id, got, len(once))
			return
		}
	}
	if len(once) != len(l.all) {
		t.Errorf("%s has %d alerts, %d were acknowledged", name, len(once), len(l.all))
	}
}

// compareKept finds what incidents lack or have twice. It returns how many alerts they have that were never
// acknowledged: guard was killed in between. Each must be the last one of its run.
func (l *ledger) compareKept(t *testing.T, kept []keptAlert) (only int) {
	t.Helper()
	times := map[string]int{}
	for _, a := range kept {
		if times[a.id]++; times[a.id] == 2 {
			t.Errorf("alert %s is in incidents twice", a.id)
		}
	}
	for _, a := range l.all {
		internal := a.source == alert.SourceInternal
		if times[a.id] == 0 && !internal {
			t.Errorf("alert %s is in no incident", a.id)
		} else if times[a.id] > 0 && internal {
			t.Errorf("alert %s is about Rollcage itself, and in an incident", a.id)
		}
	}
	run := uint64(0) // of the acknowledged one before
	alone := ""
	for _, a := range kept {
		i, ok := l.byID[a.id]
		switch {
		case !ok && alone != "":
			t.Errorf("alerts %s and %s of one run are in incidents and were not acknowledged", alone, a.id)
		case !ok:
			alone = a.id
			only++
		case alone != "" && l.all[i].run == run:
			t.Errorf("alert %s is in an incident and was not acknowledged, though a later one of its run was", alone)
			fallthrough
		default:
			alone, run = "", l.all[i].run
		}
	}
	return only
}

// readFile returns the alerts in a file, in their order.
func readFile(t *testing.T, file string) (all []acknowledged) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var a struct{ UUID, Source string }
		if json.Unmarshal([]byte(line), &a) != nil {
			t.Errorf("the file has a line %q", line)
			continue
		}
		all = append(all, acknowledged{a.UUID, a.Source, 0})
	}
	return all
}

// TestKillsOfGuardLoseAndDoubleNothing kills it at random points under load, ROLLCAGE_TEST_KILLS times (5 if
// not set). Of its outputs one is down half of the time, one now and then, one until the end, and one never. Each
// alert that was acknowledged, which is read from the outbox itself after each kill, must reach each of them in the
// order of the outbox, once after doubles are dropped as documented, and be in one incident, or be about Rollcage itself.
func TestKillsOfGuardLoseAndDoubleNothing(t *testing.T) {
	if os.Getuid() != 0 || probe.Supported() != nil {
		t.Skip("needs root and BPF")
	}
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("ROLLCAGE_TEST_KILLS")); err == nil {
		kills = n
	}
	half, seldom, dead := newReceiver(t, "http", uuidOf), newReceiver(t, "otlp", uidOf), newReceiver(t, "slack", footOf)
	file := filepath.Join(t.TempDir(), "alerts.json")
	g := newGuarded(t, "--docker", "off", "--black-box", "2", "-q", "--out-http", half.URL, "--out-otlp", seldom.URL,
		"--out-slack", dead.URL, "--on-notify", "none", "--out-file", file)
	l := &ledger{byID: map[string]int{}, ends: map[string]int64{}}
	outbox := filepath.Join(g.state, "outbox")
	dead.down.Store(true)
	stop := busy(t)
	for k := range kills {
		half.down.Store(k%2 == 1)
		seldom.down.Store(k%5 == 2)
		g.begin(t)
		told := uint64(0)
		// One in four is killed while it starts, the others while they work.
		if k%4 == 3 {
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		} else {
			g.until(t, "work", func() bool { s, err := g.client().Status(t.Context()); return err == nil && s.Kept > 0 })
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
			s := g.status(t)
			if told = s.Kept; s.Lost > 0 || s.Unkept > 0 {
				t.Errorf("kill %d: %d alerts lost, %d in no incident, as more came than could be kept", k, s.Lost, s.Unkept)
			}
		}
		_ = g.cmd.Process.Kill()
		<-g.ended
		if got := l.read(t, outbox); got < told {
			t.Errorf("kill %d: guard said that %d alerts are kept, %d are in the outbox", k, told, got)
		}
	}
	stop()
	half.down.Store(false)
	seldom.down.Store(false)
	g.start(t)
	delivered := func(but string) func() bool {
		return func() bool {
			for _, o := range g.status(t).Outputs {
				if o.Waiting > 0 && (but == "" || !strings.HasPrefix(o.Name, but)) {
					return false
				}
			}
			return true
		}
	}
	g.until(t, "delivery to all but the dead output", delivered("slack"))
	if n, _ := dead.count(); n > 0 {
		t.Fatalf("the dead output has %d alerts", n)
	}
	_ = g.cmd.Process.Kill()
	<-g.ended
	l.read(t, outbox) // for the last time: what all outputs have is deleted
	dead.down.Store(false)
	g.start(t)
	for before := -1; !delivered("")(); { // as long as it gets on
		n, _ := dead.count()
		if n == before {
			t.Fatalf("the dead output is up again and gets nothing after %d:\n%s", n, g.err.String())
		}
		before = n
		g.until(t, "catching up", func() bool { n, _ := dead.count(); return n > before || delivered("")() })
	}
	g.end(t, syscall.SIGTERM)
	var inFile []string
	for _, a := range readFile(t, file) {
		inFile = append(inFile, a.id)
		if _, known := l.byID[a.id]; !known && a.source != "" {
			l.add(t, a) // of the run that ended well
		}
	}
	rep := g.verify(t)
	kept := alertsIn(t, g)
	only := l.compareKept(t, kept)
	if only > kills {
		t.Errorf("%d alerts in incidents were not acknowledged: more than one for each kill", only)
	}
	for _, r := range []*receiver{half, seldom, dead} {
		l.compareReceived(t, r.name, r.order)
		n, twice := r.count()
		t.Logf("%s: %d alerts received, %d of them more than once", r.name, n, twice)
	}
	l.compareReceived(t, "file", inFile)
	internal := 0
	for _, a := range l.all {
		if a.source == alert.SourceInternal {
			internal++
		}
	}
	t.Logf("%d kills: %d alerts acknowledged, %d of them about Rollcage itself; %d in %d incidents, %d of them killed before they were acknowledged",
		kills, len(l.all), internal, len(kept), rep.Incidents, only)
	if len(l.all) == 0 {
		t.Error("nothing was acknowledged")
	}
}

// TestAFullDiskLosesNoAcknowledgedAlert has the state on a small file system that fills up.
func TestAFullDiskLosesNoAcknowledgedAlert(t *testing.T) {
	if os.Getuid() != 0 || probe.Supported() != nil {
		t.Skip("needs root and BPF")
	}
	r := newReceiver(t, "http", uuidOf)
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
	for _, a := range kept {
		if r.ids[a.id] == 0 {
			t.Errorf("alert %s was not received", a.id)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
