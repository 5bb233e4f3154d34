package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(beWriter); dir != "" {
		writer(dir)
	}
	os.Exit(m.Run())
}

func numbered(n int) *alert.Alert {
	return &alert.Alert{Time: time.Unix(int64(n), 0), Rule: fmt.Sprint(n), Priority: rule.Notice, Message: strings.Repeat("x", 100)}
}

func mustOpen(t testing.TB, dir string, opts Options) *Box {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	b, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func mustClose(t testing.TB, b *Box) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustPut(t testing.TB, b *Box, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := b.Put(numbered(n)); err != nil {
			t.Fatalf("alert %d: %v", n, err)
		}
	}
}

func mustAttach(t testing.TB, b *Box, name string) *position {
	t.Helper()
	p, err := b.attach(name, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustDetach(t testing.TB, b *Box, p *position) {
	t.Helper()
	if err := b.detach(p); err != nil {
		t.Fatal(err)
	}
}

// rest returns the rules of the alerts that an output lacks, and their IDs.
func rest(t testing.TB, b *Box, p *position) (rules, ids []string) {
	t.Helper()
	for seq := p.seq; ; {
		r, news := b.read(p, seq)
		if news != nil {
			return rules, ids
		}
		a, err := alert.ParseRecord(r.payload)
		if err != nil {
			t.Fatal(err)
		}
		rules, ids = append(rules, a.Rule), append(ids, a.ID)
		seq = r.seq + 1
	}
}

func words(from, to int) (out []string) {
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

func wantRest(t *testing.T, b *Box, p *position, want []string) {
	t.Helper()
	got, _ := rest(t, b, p)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBoxKeepsAlertsOverRestartsInOrderWithTheirIDs(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{SegmentBytes: 1000})
	p := mustAttach(t, b, "x")
	mustPut(t, b, 1, 50)
	rules, ids := rest(t, b, p)
	if diff := cmp.Diff(words(1, 50), rules); diff != "" {
		t.Error(diff)
	}
	mustClose(t, b)
	b = mustOpen(t, dir, Options{SegmentBytes: 1000})
	p = mustAttach(t, b, "x")
	mustPut(t, b, 51, 60)
	again, idsAgain := rest(t, b, p)
	if diff := cmp.Diff(words(1, 60), again); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ids, idsAgain[:50]); diff != "" {
		t.Error("IDs changed: ", diff)
	}
	seen := map[string]bool{}
	for _, id := range idsAgain {
		if seen[id] || len(id) != 36 || id[14] != '8' {
			t.Errorf("ID %q", id)
		}
		seen[id] = true
	}
}

func TestBoxRemembersWhereAnOutputIs(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{})
	p := mustAttach(t, b, "x")
	mustPut(t, b, 1, 5)
	if err := b.advance(p, p.seq+3); err != nil {
		t.Fatal(err)
	}
	mustClose(t, b)
	b = mustOpen(t, dir, Options{})
	wantRest(t, b, mustAttach(t, b, "x"), words(4, 5))
	// One that is new gets what is new.
	y := mustAttach(t, b, "y")
	mustPut(t, b, 6, 6)
	wantRest(t, b, y, words(6, 6))
}

func TestBoxDeletesWhatAllOutputsHave(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{SegmentBytes: 500})
	x, y := mustAttach(t, b, "x"), mustAttach(t, b, "y")
	mustPut(t, b, 1, 40)
	all := len(b.segments)
	b.advance(x, b.next)
	if len(b.segments) != all {
		t.Error("alerts are deleted that an output lacks")
	}
	b.advance(y, b.next)
	if len(b.segments) != 1 {
		t.Errorf("%d segments are left", len(b.segments))
	}
	// Numbers go on though everything is gone.
	next := b.next
	mustClose(t, b)
	for _, path := range glob(t, dir, "*.segment") {
		os.Remove(path)
	}
	if b = mustOpen(t, dir, Options{}); b.next != next {
		t.Errorf("next is %d, was %d", b.next, next)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestBoxThatIsFullDeletesTheOldest(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{SegmentBytes: 1000, MaxBytes: 3000})
	p := mustAttach(t, b, "x")
	mustPut(t, b, 1, 100)
	got, _ := rest(t, b, p)
	if s := b.Stats(); s.Bytes > 4000 || s.Dropped == 0 {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff(words(101-len(got), 100), got); diff != "" || len(got) < 5 {
		t.Error(len(got), diff)
	}
}

// A crash can cut the last segment anywhere: all whole records before are there.
func TestBoxCutsATornEnd(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{})
	mustAttach(t, b, "x")
	mustPut(t, b, 1, 3)
	mustClose(t, b)
	path := glob(t, dir, "*.segment")[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one := (len(data) - segmentHead) / 3
	for cut := segmentHead; cut < len(data); cut += 7 {
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00", "garbage that is no record, long enough for a head"} {
			sub := t.TempDir()
			os.CopyFS(sub, os.DirFS(dir))
			if err := os.WriteFile(filepath.Join(sub, filepath.Base(path)), append(data[:cut:cut], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			b := mustOpen(t, sub, Options{})
			p := mustAttach(t, b, "x")
			mustPut(t, b, 9, 9)
			want := append(words(1, (cut-segmentHead)/one), "9")
			wantRest(t, b, p, want)
			mustClose(t, b)
		}
	}
}

func TestBoxSkipsADamagedRecordAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	b := mustOpen(t, dir, Options{})
	mustAttach(t, b, "x")
	mustPut(t, b, 1, 5)
	mustClose(t, b)
	path := glob(t, dir, "*.segment")[0]
	data, _ := os.ReadFile(path)
	one := (len(data) - segmentHead) / 5
	data[segmentHead+2*one+50] ^= 1
	os.WriteFile(path, data, 0o600)
	var log bytes.Buffer
	b = mustOpen(t, dir, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	p := mustAttach(t, b, "x")
	wantRest(t, b, p, []string{"1", "2", "4", "5"})
	if b.Stats().Damaged != 1 || !strings.Contains(log.String(), "cannot be read any more") {
		t.Errorf("%+v %s", b.Stats(), log.String())
	}
}

func TestBoxLeavesAsideWhatIsNoSegment(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, fmt.Sprintf(segmentPattern, 7))
	os.WriteFile(name, []byte("no"), 0o600)
	b := mustOpen(t, dir, Options{})
	p := mustAttach(t, b, "x")
	mustPut(t, b, 1, 2)
	wantRest(t, b, p, words(1, 2))
	if len(glob(t, dir, "*.bad")) != 1 {
		t.Error("it is not there any more")
	}
}

func TestBoxIsForOneProcessAndItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "box")
	b := mustOpen(t, dir, Options{})
	mustAttach(t, b, "x")
	mustPut(t, b, 1, 1)
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("got %v", err)
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, b)
	if err := b.Put(numbered(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestBoxSyncsBeforePutReturnsIfAsked(t *testing.T) {
	b := mustOpen(t, t.TempDir(), Options{SyncEvery: -1, SegmentBytes: 4000})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if err := b.Put(numbered(1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if b.synced != b.next || b.next != 161 {
		t.Errorf("%d of %d", b.synced, b.next)
	}
}

// tinyDisk mounts a file system of a few pages.
func tinyDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skip("needs to mount a tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); ; {
		if _, err := f.Write(page); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestBoxOnAFullDiskGoesOnInMemoryAndLosesNothingItAcknowledged(t *testing.T) {
	dir := tinyDisk(t, 256<<10)
	b := mustOpen(t, dir, Options{SegmentBytes: 8 << 10, MaxMemory: 50})
	p := mustAttach(t, b, "x")
	fill(t, filepath.Join(dir, "ballast"))
	var kept, memory, lost int
	for n := 1; lost == 0; n++ {
		switch err := b.Put(numbered(n)); {
		case err == nil:
			kept++
		case errors.Is(err, ErrNotKept) && errors.Is(err, unix.ENOSPC):
			memory++
		case errors.Is(err, ErrLost):
			lost++
		default:
			t.Fatal(err)
		}
	}
	if memory != 50 {
		t.Errorf("%d in memory", memory)
	}
	// All are delivered, in order, though the disk is still full.
	wantRest(t, b, p, words(1, kept+memory))
	// Once there is room they go to the disk, before what is new.
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	mustPut(t, b, 1000, 1010)
	want := append(words(1, kept+memory), words(1000, 1010)...)
	wantRest(t, b, p, want)
	if len(b.memory) > 0 {
		t.Errorf("%d are left in memory", len(b.memory))
	}
	mustClose(t, b)
	b = mustOpen(t, dir, Options{})
	wantRest(t, b, mustAttach(t, b, "x"), want)
}

func TestBoxWhoseDiskBecomesFullInAReservedSegmentStillKeepsAlerts(t *testing.T) {
	dir := tinyDisk(t, 256<<10)
	b := mustOpen(t, dir, Options{SegmentBytes: 64 << 10})
	p := mustAttach(t, b, "x")
	mustPut(t, b, 1, 1)
	fill(t, filepath.Join(dir, "ballast"))
	mustPut(t, b, 2, 200)
	b.advance(p, b.next) // and positions are noted
	wantRest(t, b, p, nil)
}

func FuzzOpenSegment(f *testing.F) {
	dir := f.TempDir()
	b := mustOpen(f, dir, Options{})
	mustPut(f, b, 1, 3)
	mustClose(f, b)
	paths, _ := filepath.Glob(filepath.Join(dir, "*.segment"))
	data, err := os.ReadFile(paths[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, true)
	f.Add(data[:len(data)-9], false)
	f.Fuzz(func(t *testing.T, data []byte, last bool) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, err := openSegment(path, last)
		if err != nil {
			return
		}
		defer s.file.Close()
		var buf []byte
		for at, n := int64(segmentHead), uint64(0); ; n++ {
			var r record
			if r, at, buf, err = s.readAt(at, s.end, buf); err != nil {
				break
			}
			if n > uint64(len(data)) {
				t.Fatalf("does not end: %d %d", r.seq, at)
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	for _, tt := range []struct {
		name string
		sync time.Duration
	}{{"synced every 100ms", 0}, {"synced each", -1}} {
		b.Run(tt.name, func(b *testing.B) {
			box := mustOpen(b, b.TempDir(), Options{SyncEvery: tt.sync})
			a := numbered(1)
			b.ReportAllocs()
			for b.Loop() {
				if err := box.Put(a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The next opening writes to a file of the name that a crash left empty, which must then not be deleted as the old one.
func TestASegmentThatACrashLeftEmptyTakesNoLaterOneWithIt(t *testing.T) {
	dir := t.TempDir()
	s, err := createSegment(dir, 1, 1, 4<<10)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	box, err := Open(dir, Options{SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := box.Put(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	box.mu.Lock()
	box.shrink()
	box.mu.Unlock()
	if _, err := os.Stat(s.path); err != nil || len(box.segments) != 1 {
		t.Errorf("the alerts are in no file: %v, %d segments", err, len(box.segments))
	}
	if err := box.Close(); err != nil {
		t.Error(err)
	}
}
