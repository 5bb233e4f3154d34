package cli

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
)

// TestKillDuringACaptureLeavesWhatThereIs kills guard while a capture goes on. After the next start what
// it had written is in the incident, is evidence as any other, and is read up to where it ends.
func TestKillDuringACaptureLeavesWhatThereIs(t *testing.T) {
	g := newGuarded(t, "--runtime", "off", "--black-box", "4", "-q")
	g.start(t)
	if out, err := exec.Command("cat", "/etc/shadow").CombinedOutput(); err != nil {
		t.Skipf("cannot read a file with secrets: %v %s", err, out)
	}
	written := func() (files []string) {
		all, _ := filepath.Glob(filepath.Join(g.state, "captures", "*.scap"))
		for _, f := range all {
			if st, err := os.Stat(f); err == nil && st.Size() > 10_000 { // more than its beginning
				files = append(files, f)
			}
		}
		return files
	}
	g.until(t, "capture that goes on", func() bool { return len(written()) > 0 })
	if n := g.status(t).Captures; n != 0 {
		t.Fatalf("%d captures have ended", n)
	}
	g.end(t, syscall.SIGKILL)
	files := written()
	if len(files) == 0 {
		t.Fatal("the capture is gone")
	}
	incident, _, _ := strings.Cut(filepath.Base(files[0]), ".")
	size := int64(0)
	if st, err := os.Stat(files[0]); err == nil {
		size = st.Size()
	}
	g.start(t)
	g.end(t, syscall.SIGTERM)
	g.verify(t)
	if left := written(); len(left) > 0 {
		t.Errorf("left aside: %v", left)
	}
	dir := guard.EvidenceDir(g.state)
	var found []evidence.Capture
	if _, err := evidence.ReadIncident(dir, incident, func(r *evidence.Record) error {
		var c evidence.Capture
		if r.Kind == evidence.KindCapture && json.Unmarshal(r.Data, &c) == nil && strings.HasPrefix(c.Name, "interrupted-") {
			found = append(found, c)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Bytes != size || !strings.Contains(found[0].Note, "ended during the capture") {
		t.Fatalf("in the incident: %+v, of %d bytes", found, size)
	}
	n, err := eventsIn(filepath.Join(dir, "incidents", incident, found[0].Name))
	t.Logf("%d bytes, %d events, then %v", size, n, err)
	if n == 0 {
		t.Errorf("no event can be read from the capture: %v", err)
	}
}

// eventsIn returns how many events can be read from a capture, and why not more if it is cut.
func eventsIn(path string) (n int, err error) {
	r, err := capture.Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var ev event.Event
	for {
		switch err := r.Next(&ev); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
		n++
	}
}
