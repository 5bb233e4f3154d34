package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceLeavesOneWholeFileForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	for _, want := range []string{"first", "second"} {
		if err := Replace(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("got %q", got)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%d files are left", len(list))
	}
	if err := Replace(filepath.Join(dir, "none", "x"), nil); err == nil {
		t.Error("no error without the folder")
	}
}

func mustOpen(t *testing.T, path string) *Slot {
	t.Helper()
	s, err := OpenSlot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustWrite(t *testing.T, s *Slot, v string) {
	t.Helper()
	if err := s.Write([]byte(v)); err != nil {
		t.Fatal(err)
	}
}

func TestSlotKeepsItsLastValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := mustOpen(t, path)
	if s.Value() != nil {
		t.Errorf("a new slot has %q", s.Value())
	}
	for _, v := range []string{"a", "b", strings.Repeat("c", SlotBytes), ""} {
		mustWrite(t, s, v)
		if got := mustOpen(t, path).Value(); string(got) != v {
			t.Errorf("got %q, want %q", got, v)
		}
	}
	if err := s.Write(make([]byte, SlotBytes+1)); err == nil {
		t.Error("a value that is too long is taken")
	}
}

// Whatever part of the last write reached the disk, the value is the new one
// or the one before.
func TestSlotWhoseWriteWasCutHasTheValueBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := mustOpen(t, path)
	mustWrite(t, s, "one")
	mustWrite(t, s, "two")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, "three")
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, now := 0, 0
	for cut := range len(after) + 1 {
		if err := os.WriteFile(path, append(bytes.Clone(after[:cut]), before[cut:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, path)
		switch string(s.Value()) {
		case "two":
			old++
		case "three":
			now++
		default:
			t.Fatalf("cut at %d: %q", cut, s.Value())
		}
	}
	if old == 0 || now == 0 {
		t.Errorf("%d old, %d new", old, now)
	}
}

func TestLockIsForOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	f.Close()
	if f, err = Lock(path); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func FuzzParseSector(f *testing.F) {
	f.Add(make([]byte, sector))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != sector {
			return
		}
		parseSector(b)
	})
}
