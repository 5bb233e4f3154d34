package evidence

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/scene"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(beWriter); dir != "" {
		writer(dir)
	}
	os.Exit(m.Run())
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func alertAt(n int, at time.Time) *alert.Alert {
	return &alert.Alert{
		ID: fmt.Sprintf("id-%d", n), Time: at, Rule: fmt.Sprintf("rule %d", n), Priority: rule.Warning, Source: "syscall", Hostname: "box",
		Message: "it happened", Fields: []alert.Field{{Key: "proc.name", JSON: []byte(`"sh"`)}},
	}
}

// in returns a scene: processes from the one at work upwards, of which the
// first so many are in the container ("" is the host).
func in(container string, root int, pids ...int64) *scene.Scene {
	s := &scene.Scene{Host: "box", Root: root}
	if container != "" {
		s.Container = &scene.Container{ID: container, Name: "name-" + container, Image: "registry/app:1"}
	}
	for _, pid := range pids {
		s.Processes = append(s.Processes, scene.Process{PID: pid, Start: uint64(pid) * 1000, Name: "p", Exe: "/bin/p"})
	}
	return s
}

func mustOpen(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustAdd(t testing.TB, s *Store, a *alert.Alert, sc *scene.Scene) string {
	t.Helper()
	id, err := s.Add(a, sc)
	must(t, err)
	return id
}

func wantSound(t *testing.T, dir string) *Report {
	t.Helper()
	r, err := Verify(dir, "")
	must(t, err)
	for _, f := range r.Findings {
		t.Errorf("%s: %s", f.Where, f.What)
	}
	return r
}

func TestAlertsOfOneContainerAndProcessTreeAreOneIncident(t *testing.T) {
	tests := []struct {
		name   string
		first  *scene.Scene
		second *scene.Scene
		after  time.Duration
		same   bool
	}{
		{"the same process", in("a", 1, 12, 10, 1), in("a", 1, 12, 10, 1), 0, true},
		{"another process of the tree", in("a", 1, 12, 10, 1), in("a", 1, 13, 10, 1), time.Minute, true},
		{"another container", in("a", 1, 12, 10, 1), in("b", 1, 12, 10, 1), 0, false},
		{"another tree of the container", in("a", 1, 12, 10, 1), in("a", 1, 22, 20, 1), 0, false},
		{"a child that left the session", in("", 1, 12, 10, 1), in("", 0, 14, 12, 10, 1), 0, true},
		{"another session of the host", in("", 1, 12, 10, 1), in("", 1, 22, 20, 1), 0, false},
		{"too late", in("a", 1, 12, 10, 1), in("a", 1, 12, 10, 1), 11 * time.Minute, false},
		{"a clock that jumps back", in("a", 1, 12, 10, 1), in("a", 1, 12, 10, 1), -time.Hour, false},
		{"a process that is not known", in("a", 1, 12, 10, 1), in("a", 0), 0, true},
		{"a process that is not known, elsewhere", in("a", 1, 12, 10, 1), in("b", 0), 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir, Options{})
			first := mustAdd(t, s, alertAt(1, noon), tt.first)
			second := mustAdd(t, s, alertAt(2, noon.Add(tt.after)), tt.second)
			if (first == second) != tt.same {
				t.Errorf("%s and %s", first, second)
			}
			must(t, s.Close())
			wantSound(t, dir)
		})
	}
}

func TestNumberThatIsUsedAgainIsAnotherProcess(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	first := mustAdd(t, s, alertAt(1, noon), in("", 0, 12))
	again := in("", 0, 12)
	again.Processes[0].Start++
	if mustAdd(t, s, alertAt(2, noon), again) == first {
		t.Error("it is in the same incident")
	}
}

func TestAlertIsKeptOnceThoughItComesTwice(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	now := time.Now()
	id := mustAdd(t, s, alertAt(1, now), in("a", 0, 1))
	if mustAdd(t, s, alertAt(1, now), in("a", 0, 1)) != id {
		t.Error("another incident")
	}
	must(t, s.Close())
	s = mustOpen(t, dir, Options{}) // also after a restart
	mustAdd(t, s, alertAt(1, now), in("a", 0, 1))
	if sum, err := s.Incident(id); err != nil || sum.Alerts != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestIncidentHoldsWhatBelongsToIt(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	now := time.Now().UTC().Truncate(time.Second)
	id := mustAdd(t, s, alertAt(1, now), in("a", 1, 12, 10, 1))
	mustAdd(t, s, alertAt(2, now.Add(time.Second)), in("a", 1, 12, 10, 1))
	must(t, s.AddCapture(id, Capture{Name: "before.scap", From: now}, func(w io.Writer) error {
		_, err := io.WriteString(w, "what happened")
		return err
	}))
	must(t, s.Begin(id, &Action{ID: "1", Kind: "kill", Policy: "p", Target: "process 12"}))
	must(t, s.End(id, &Outcome{ID: "1", Error: "it is gone"}))
	must(t, s.Note(id, &Note{Text: "looked at it"}))
	must(t, s.Close())
	s = mustOpen(t, dir, Options{}) // it goes on
	if mustAdd(t, s, alertAt(3, now.Add(2*time.Second)), in("a", 1, 13, 10, 1)) != id {
		t.Error("the incident does not go on after a restart")
	}
	must(t, s.Sync())

	var kinds []string
	sum, err := ReadIncident(dir, id, func(r *Record) error {
		kinds = append(kinds, r.Kind)
		return nil
	})
	must(t, err)
	want := "opened process process process alert alert capture action outcome note process alert"
	if diff := cmp.Diff(want, strings.Join(kinds, " ")); diff != "" {
		t.Error(diff)
	}
	if sum.Alerts != 3 || sum.Captures != 1 || sum.Actions != 1 || sum.Failed != 1 || !sum.Open || sum.Name != "name-a" ||
		len(sum.Rules) != 3 || sum.Worst != "Warning" || !sum.First.Equal(now) || !sum.Last.Equal(now.Add(2*time.Second)) {
		t.Errorf("%+v", sum)
	}
	list, err := s.List(Filter{})
	must(t, err)
	if diff := cmp.Diff(sum, list[0], cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); len(list) != 1 || diff != "" {
		t.Error(diff)
	}
	r := wantSound(t, dir)
	if r.Incidents != 1 || r.Captures != 1 || r.Records != 12 {
		t.Errorf("%+v", r)
	}
}

func TestFloodOfAlertsIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{MaxAlerts: 5, MaxOpen: 3})
	var id string
	for n := range 20 {
		id = mustAdd(t, s, alertAt(n, noon), in("a", 0, 1))
	}
	for n := range 10 {
		mustAdd(t, s, alertAt(100+n, noon), in(fmt.Sprint("box-", n), 0, 1))
	}
	list, err := s.List(Filter{Open: true})
	must(t, err)
	if len(list) != 3 {
		t.Errorf("%d are open", len(list))
	}
	if sum, err := s.Incident(id); err != nil || sum.Alerts > 5 || sum.Open {
		t.Errorf("%+v, %v", sum, err)
	}
	wantSound(t, dir)
}

func TestIncidentIsClosedWhenItsTimeIsOver(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Window: time.Millisecond})
	id := mustAdd(t, s, alertAt(1, noon), in("a", 0, 1))
	time.Sleep(2 * time.Millisecond)
	must(t, s.Tend())
	if sum, err := s.Incident(id); err != nil || sum.Open {
		t.Errorf("%+v %v", sum, err)
	}
	// A late outcome is still taken.
	must(t, s.End(id, &Outcome{ID: "1", OK: true}))
	must(t, s.Close())
	wantSound(t, dir)
}

func TestListFindsIncidents(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	a := mustAdd(t, s, alertAt(1, noon), in("aaaaaaaaaaaa", 0, 1))
	bad := alertAt(2, noon.Add(time.Hour))
	bad.Priority = rule.Critical
	b := mustAdd(t, s, bad, in("bbbbbbbbbbbb", 0, 1))
	critical := rule.Critical
	tests := []struct {
		name string
		f    Filter
		want []string
	}{
		{"all, the newest first", Filter{}, []string{b, a}},
		{"some", Filter{Limit: 1}, []string{b}},
		{"since", Filter{Since: noon.Add(time.Minute)}, []string{b}},
		{"until", Filter{Until: noon.Add(time.Minute)}, []string{a}},
		{"by container's id", Filter{Container: "aaaaaaaaaaaa0123"}, []string{a}},
		{"by container's name", Filter{Container: "name-bbbbbbbbbbbb"}, []string{b}},
		{"by image", Filter{Image: "app"}, []string{b, a}},
		{"by rule", Filter{Rule: "rule 1"}, []string{a}},
		{"by priority", Filter{Priority: &critical}, []string{b}},
		{"nothing", Filter{Rule: "rule 1", Container: "x' OR 1 --"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := s.List(tt.f)
			must(t, err)
			var got []string
			for _, sum := range list {
				got = append(got, sum.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIndexIsMadeAgainFromTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	for n := range 5 {
		mustAdd(t, s, alertAt(n, noon), in(fmt.Sprint(n), 0, 1))
	}
	want, err := s.List(Filter{})
	must(t, err)
	must(t, s.Close())
	path := filepath.Join(dir, indexName)
	tests := []struct {
		name string
		harm func()
	}{
		{"missing", func() { os.Remove(path) }},
		{"garbage", func() { os.WriteFile(path, []byte(strings.Repeat("garbage", 1000)), 0o600) }},
		{"cut", func() { must(t, os.Truncate(path, 5000)) }},
		{"behind", func() { execSQL(t, path, "DELETE FROM incidents WHERE container = '2'") }},
		{"ahead", func() { execSQL(t, path, "INSERT INTO incidents (id, size) VALUES ('20000101T000000Z-00000000', 1)") }},
		{"of another version", func() { execSQL(t, path, "PRAGMA user_version = 99") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.harm()
			list, done, err := Index(dir, false, slog.New(slog.DiscardHandler))
			must(t, err)
			defer done()
			got, err := list(Filter{})
			must(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func execSQL(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

func TestRetentionRemovesTheOldestAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Window: time.Nanosecond, MaxBytes: 60000, MaxAge: -1})
	var ids []string
	for n := range 5 {
		id := mustAdd(t, s, alertAt(n, noon.Add(time.Duration(n)*time.Hour)), in("a", 0, int64(n)+1))
		must(t, s.AddCapture(id, Capture{Name: "c.scap"}, func(w io.Writer) error {
			_, err := w.Write(make([]byte, 20000))
			return err
		}))
		ids = append(ids, id)
	}
	must(t, s.Tend())
	left, err := incidentIDs(dir)
	must(t, err)
	if diff := cmp.Diff(ids[3:], left); diff != "" {
		t.Error(diff)
	}
	if r := wantSound(t, dir); r.Removed != 3 || r.Incidents != 2 {
		t.Errorf("%+v", r)
	}
	// One whose removal a crash interrupted is finished.
	must(t, os.Rename(incidentDir(dir, ids[3]), filepath.Join(dir, incidentsDir, removingPrefix+ids[3])))
	must(t, s.Close())
	mustOpen(t, dir, Options{MaxAge: -1})
	if r := wantSound(t, dir); r.Removed != 4 || r.Incidents != 1 {
		t.Errorf("%+v", r)
	}
}

func TestRetentionByAgeDoesNotBelieveAClockThatJumps(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Window: time.Nanosecond, MaxAge: 24 * time.Hour})
	old := mustAdd(t, s, alertAt(1, time.Now().Add(-48*time.Hour)), in("a", 0, 1))
	mustAdd(t, s, alertAt(2, time.Now()), in("b", 0, 1))
	must(t, s.Tend())
	if left, _ := incidentIDs(dir); len(left) != 2 {
		t.Fatal("it is removed at once")
	}
	s.overdue[old] = time.Now().Add(-2 * settle)
	must(t, s.Tend())
	if left, _ := incidentIDs(dir); len(left) != 1 || left[0] == old {
		t.Errorf("left: %v", left)
	}
	wantSound(t, dir)
}

func TestNothingIsReadableByOthers(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir := filepath.Join(t.TempDir(), "evidence")
	s := mustOpen(t, dir, Options{})
	id := mustAdd(t, s, alertAt(1, noon), in("a", 0, 1))
	must(t, s.AddCapture(id, Capture{Name: "c.scap"}, func(io.Writer) error { return nil }))
	must(t, s.Sync())
	n := 0
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if n++; err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil || n < 8 {
		t.Error(n, err)
	}
}

func TestCapturesHaveNamesThatStayInTheFolder(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	id := mustAdd(t, s, alertAt(1, noon), in("a", 0, 1))
	for _, name := range []string{"", "../x", "a/b", ".hidden", recordsName, strings.Repeat("x", 200)} {
		if err := s.AddCapture(id, Capture{Name: name}, func(io.Writer) error { return nil }); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	if err := s.AddCapture("../"+id, Capture{Name: "x"}, func(io.Writer) error { return nil }); err == nil {
		t.Error("an incident outside is taken")
	}
	boom := errors.New("boom")
	if err := s.AddCapture(id, Capture{Name: "x"}, func(io.Writer) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	must(t, s.AddCapture(id, Capture{Name: "x"}, func(io.Writer) error { return nil }))
	if err := s.AddCapture(id, Capture{Name: "x"}, func(io.Writer) error { return nil }); err == nil {
		t.Error("a capture takes the place of another")
	}
}

func TestFullDiskIsAnErrorAndWhatIsThereStaysSound(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skip("needs to mount a tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	s := mustOpen(t, dir, Options{})
	kept := 0
	var last error
	for n := 0; n < 3000; n++ {
		if _, err := s.Add(alertAt(n, noon), in("a", 0, int64(n+1))); err != nil {
			last = err
			break
		}
		kept++
	}
	if !errors.Is(last, unix.ENOSPC) {
		t.Fatalf("after %d alerts: %v", kept, last)
	}
	s.Close()
	r, err := Verify(dir, "")
	must(t, err)
	if !r.OK() {
		t.Errorf("%+v", r.Findings)
	}
}

func TestStoreIsForOneProcess(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("got %v", err)
	}
}

func TestExportHoldsRecordsCapturesAndTheAuditLog(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	id := mustAdd(t, s, alertAt(1, noon), in("a", 0, 1))
	must(t, s.AddCapture(id, Capture{Name: "c.scap"}, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }))
	var b bytes.Buffer
	must(t, Export(dir, id, &b))
	got := untar(t, &b)
	for _, name := range []string{id + "/records.jsonl", id + "/c.scap", "audit/audit.jsonl"} {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if err := Export(dir, "../x", &b); err == nil {
		t.Error("a path is taken")
	}
}

func BenchmarkAdd(b *testing.B) {
	s := mustOpen(b, b.TempDir(), Options{MaxAlerts: 1 << 30})
	sc := in("a", 2, 12, 11, 10, 1)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		mustAdd(b, s, alertAt(n, noon), sc)
	}
}
