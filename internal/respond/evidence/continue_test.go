package evidence

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parts returns an incident of so many alerts and its parts, the first one first.
func parts(t *testing.T, s *Store) []*Summary {
	t.Helper()
	list, err := s.List(Filter{})
	must(t, err)
	slices.SortFunc(list, func(a, b *Summary) int { return a.Part - b.Part })
	return list
}

func alertsOf(t *testing.T, dir, id string) (ids []string) {
	t.Helper()
	_, err := ReadIncident(dir, id, func(r *Record) error {
		if r.Kind == KindAlert {
			_, rest, _ := strings.Cut(string(r.Data), `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			ids = append(ids, id)
		}
		return nil
	})
	must(t, err)
	return ids
}

func TestFullIncidentGoesOnInAnotherOne(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{MaxAlerts: 5})
	now := time.Now()
	for n := range 12 {
		if n == 8 { // also over a restart
			must(t, s.Close())
			s = mustOpen(t, dir, Options{MaxAlerts: 5})
		}
		mustAdd(t, s, alertAt(n, now), in("", 1, 12, 10, 1))
	}
	list := parts(t, s)
	if len(list) != 3 {
		t.Fatalf("%d incidents", len(list))
	}
	var all []string
	for i, sum := range list {
		want := &Summary{Alerts: []int{5, 5, 2}[i], Open: i == 2}
		if i > 0 {
			want.Continues, want.Origin, want.Part = list[i-1].ID, list[0].ID, i+1
		}
		if i < 2 {
			want.Next = list[i+1].ID
		}
		got := &Summary{Alerts: sum.Alerts, Open: sum.Open, Continues: sum.Continues, Origin: sum.Origin, Part: sum.Part, Next: sum.Next}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("part %d: %s", i+1, diff)
		}
		read, err := ReadIncident(dir, sum.ID, nil)
		must(t, err)
		if read.Next != sum.Next || read.Continues != sum.Continues {
			t.Errorf("part %d: the index is not what the records say: %+v", i+1, read)
		}
		all = append(all, alertsOf(t, dir, sum.ID)...)
	}
	for n := range 12 {
		if n >= len(all) || all[n] != fmt.Sprint("id-", n) {
			t.Fatalf("alert %d is not where it belongs: %v", n, all)
		}
	}
	// What left the session of the tree, and was an actor of a part before, still belongs to it.
	if id := mustAdd(t, s, alertAt(20, now), in("", 0, 14, 12)); id != list[2].ID {
		t.Errorf("a descendant of a process of the first part is in %s", id)
	}
	wantSound(t, dir)
}

func TestCrashBetweenTwoPartsLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{MaxAlerts: 2})
	now := time.Now()
	first := mustAdd(t, s, alertAt(1, now), in("a", 0, 1))
	mustAdd(t, s, alertAt(2, now), in("a", 0, 1))
	// The crash: the second part has begun, the first is not closed.
	o := s.open[first].opened
	o.Continues, o.Origin, o.Part = first, first, 2
	second, err := s.begin(newID(now), o)
	must(t, err)
	must(t, s.Close())

	s = mustOpen(t, dir, Options{MaxAlerts: 2})
	if id := mustAdd(t, s, alertAt(3, now), in("a", 0, 1)); id != second.id {
		t.Errorf("the next alert is in %s, not in the part that had begun", id)
	}
	if sum, err := s.Incident(first); err != nil || sum.Open || sum.Next != second.id {
		t.Errorf("the first part: %+v, %v", sum, err)
	}
	wantSound(t, dir)
}

func TestFloodOfOneIncidentPushesOutNoOther(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{MaxAlerts: 1, MaxBytes: 100_000, MaxAge: -1})
	quiet := mustAdd(t, s, alertAt(1000, time.Now()), in("quiet", 0, 1))
	must(t, s.Finish(quiet, nil, "seen"))
	var ids []string
	for n := range 10 {
		id := mustAdd(t, s, alertAt(n, time.Now().Add(time.Duration(n)*time.Second)), in("loud", 0, 1))
		must(t, s.AddCapture(id, Capture{Name: "c.scap"}, func(w io.Writer) error {
			_, err := w.Write(make([]byte, 20000))
			return err
		}))
		ids = append(ids, id)
	}
	must(t, s.Tend())
	left, err := incidentIDs(dir)
	must(t, err)
	for name, id := range map[string]string{"the quiet one": quiet, "the beginning": ids[0], "the end": ids[9]} {
		if !slices.Contains(left, id) {
			t.Errorf("%s of the flood is removed", name)
		}
	}
	for _, id := range ids[1:6] {
		if slices.Contains(left, id) {
			t.Errorf("part %s of the flood is still there", id)
		}
	}
	wantSound(t, dir)
}

func TestClockThatIsSetForwardRemovesNothingForADay(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Window: time.Nanosecond, MaxAge: 24 * time.Hour, MaxBytes: -1})
	id := mustAdd(t, s, alertAt(1, time.Now().Add(-48*time.Hour)), in("a", 0, 1))
	s.opened = s.opened.Add(time.Nanosecond)
	tend := func(after time.Duration) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		must(t, s.retain(time.Now().Add(after))) // both clocks go on
		return exists(incidentDir(dir, id))
	}
	s.sweep()
	must(t, s.Sync())
	tend(0)
	s.ahead -= 13 * 365 * 24 * time.Hour // as when the wall clock was set forward by that much
	if !tend(2*settle) || !tend(23*time.Hour) {
		t.Error("it is removed though the clock may be wrong")
	}
	if tend(27 * time.Hour) {
		t.Error("it is not removed though somebody had a day to look at the clock")
	}
	wantSound(t, dir)
}

func TestClockThatWasSetForwardBeforeARestartIsDoubted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []time.Duration // ago
		doubted bool
	}{
		{"a new store", nil, false},
		{"one that goes on", []time.Duration{30 * time.Hour, 20 * time.Hour, time.Hour}, false},
		{"it was set before the restart", []time.Duration{10 * 365 * 24 * time.Hour, time.Hour, time.Minute}, true},
		{"it was set during the restart", []time.Duration{10 * 365 * 24 * time.Hour}, true},
		{"it was set long ago", []time.Duration{10 * 365 * 24 * time.Hour, 40 * time.Hour, 20 * time.Hour, time.Hour}, false},
		{"it was set back", []time.Duration{-10 * 365 * 24 * time.Hour, time.Hour}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c, err := openChain(filepath.Join(dir, auditName), chain{head: seed("audit")}, nil)
			must(t, err)
			for _, ago := range tt.records {
				must(t, c.append(time.Now().Add(-ago), auditAccess, &Entry{Detail: "list"}))
			}
			must(t, c.file.Close())
			s := mustOpen(t, dir, Options{})
			if doubted := s.patience(time.Now()) == settleDoubted; doubted != tt.doubted {
				t.Errorf("doubted is %v", doubted)
			}
		})
	}
}

func TestBrokenAuditLogsThatAreSetAsideReplaceNothing(t *testing.T) {
	dir, _, _ := sound(t)
	a, err := OpenAudit(dir)
	must(t, err)
	for range 3 {
		f, err := os.OpenFile(filepath.Join(dir, auditName), os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString("no record\n")
		must(t, errors.Join(err, f.Close()))
		must(t, a.Access(nil, "list", "", ""))
	}
	must(t, a.Close())
	if broken, _ := filepath.Glob(filepath.Join(dir, auditName+".broken-*")); len(broken) != 3 {
		t.Errorf("set aside: %v", broken)
	}
}

func TestAuditLogThatCannotBeOpenedLeavesNoDescriptorOpen(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, auditName), 0o700)) // no file
	if _, err := OpenAudit(dir); err == nil {
		t.Fatal("it was opened")
	}
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, dir) {
			t.Errorf("%s is open", target)
		}
	}
}
