package outbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcage/internal/respond/alert"
)

// The variables that make the test binary a process that writes alerts and is killed.
const (
	beWriter    = "ROLLCAGE_TEST_OUTBOX"
	writerURL   = "ROLLCAGE_TEST_OUTBOX_URL"
	writerFrom  = "ROLLCAGE_TEST_OUTBOX_FROM"
	writerCount = "ROLLCAGE_TEST_OUTBOX_COUNT"
)

// writer puts alerts into the box, prints the number of each that is
// acknowledged, and delivers them to a receiver and a file, until it is killed
// or has written as many as it should.
func writer(dir string) {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	log := slog.New(slog.DiscardHandler)
	box, err := Open(dir, Options{SegmentBytes: 8 << 10, Log: log})
	must(err)
	out, err := alert.NewHTTP(alert.HTTPOptions{URL: os.Getenv(writerURL), Shape: alert.JSON(), Retries: -1})
	must(err)
	d, err := NewDelivery(box, []alert.Output{out, alert.NewFile(dir+".out", true, alert.JSON())},
		DeliveryOptions{FirstRetry: time.Millisecond, LastRetry: 5 * time.Millisecond, Log: log})
	must(err)
	from, _ := strconv.Atoi(os.Getenv(writerFrom))
	count, _ := strconv.Atoi(os.Getenv(writerCount))
	for n := from; n < from+count; n++ {
		if box.Put(numbered(n)) == nil {
			fmt.Println(n)
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	}
	// What is left is delivered; then the parent sees the end.
	for d.Stats()[0].Waiting > 0 || d.Stats()[1].Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	os.Exit(0)
}

// delivered is what a receiver got, duplicates by ID left out.
type delivered struct {
	mu    sync.Mutex
	ids   map[string]bool
	rules []int
	twice int
}

func (d *delivered) add(t *testing.T, line []byte) {
	var a struct{ UUID, Rule string }
	if err := json.Unmarshal(line, &a); err != nil || a.UUID == "" {
		return // torn by a kill in the middle of a write; it comes again
	}
	n, err := strconv.Atoi(a.Rule)
	if err != nil {
		t.Errorf("alert %q", a.Rule)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids[a.UUID] {
		d.twice++
		return
	}
	d.ids[a.UUID] = true
	d.rules = append(d.rules, n)
}

// check says what is missing, double, or out of order.
func (d *delivered) check(t *testing.T, name string, acked map[int]bool) {
	t.Helper()
	seen, last := map[int]bool{}, -1
	for _, n := range d.rules {
		if seen[n] {
			t.Errorf("%s: alert %d is there twice", name, n)
		}
		if n < last {
			t.Errorf("%s: alert %d comes after %d", name, n, last)
		}
		seen[n], last = true, n
	}
	lost := 0
	for n := range acked {
		if !seen[n] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%s: %d of %d acknowledged alerts are lost", name, lost, len(acked))
	}
	t.Logf("%s: %d acknowledged, %d delivered, %d of them more than once", name, len(acked), len(d.rules), d.twice)
}

// A process that is killed at any moment, again and again, with a receiver
// that is down half of the time, loses no alert that was acknowledged.
func TestKilledProcessLosesAndDoublesNothing(t *testing.T) {
	kills := 200
	if testing.Short() {
		kills = 20
	}
	got := &delivered{ids: map[string]bool{}}
	var down sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if _, is := down.Load("down"); is {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err == nil {
			got.add(t, body)
		}
	}))
	defer server.Close()
	dir := t.TempDir() + "/box"
	acked := map[int]bool{}
	const each = 1000000
	for k := range kills + 1 {
		if down.Delete("down"); k%3 == 1 && k < kills {
			down.Store("down", true)
		}
		count := each
		if k == kills {
			count = 1 // and is left to deliver everything
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), beWriter+"="+dir, writerURL+"="+server.URL, fmt.Sprintf("%s=%d", writerFrom, k*each), fmt.Sprintf("%s=%d", writerCount, count))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if k < kills {
			time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				acked[n] = true
			}
		}
		if err := cmd.Wait(); k == kills && err != nil {
			t.Fatal(err)
		}
	}
	got.check(t, "receiver", acked)
	file := &delivered{ids: map[string]bool{}}
	data, err := os.ReadFile(dir + ".out")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		file.add(t, []byte(line))
	}
	file.check(t, "file", acked)
}
