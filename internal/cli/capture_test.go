package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestACaptureOfAnAlertRaisesItAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "captures")
	want, stderr, err := runCommand(t, "detect", "-r", secretCapture(t, 3), "--capture-dir", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "rollcage_*.scap"))
	if len(files) != 1 {
		t.Fatalf("captures: %q", files)
	}
	got, _, err := runCommand(t, "detect", "-r", files[0])
	if err != nil || got != want || strings.Count(got, "\n") != 3 {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
