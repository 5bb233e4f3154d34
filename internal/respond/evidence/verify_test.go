package evidence

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func untar(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(r)
	must(t, err)
	files := map[string]string{}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files
		}
		must(t, err)
		b, err := io.ReadAll(in)
		must(t, err)
		files[h.Name] = string(b)
	}
}

// sound makes a store with two incidents, closed properly.
func sound(t *testing.T) (dir string, ids []string, head string) {
	t.Helper()
	dir = t.TempDir()
	s := mustOpen(t, dir, Options{})
	for n := range 2 {
		id := mustAdd(t, s, alertAt(10*n, noon), in(fmt.Sprint(n), 0, 1))
		mustAdd(t, s, alertAt(10*n+1, noon), in(fmt.Sprint(n), 0, 1))
		mustAdd(t, s, alertAt(10*n+2, noon), in(fmt.Sprint(n), 0, 1))
		must(t, s.AddCapture(id, Capture{Name: "c.scap"}, func(w io.Writer) error { _, err := io.WriteString(w, "abc"); return err }))
		must(t, s.Begin(id, &Action{ID: "1", Kind: "kill", Target: "it"}))
		ids = append(ids, id)
	}
	_, head = s.Audit().Head()
	must(t, s.Audit().Access(Caller("test"), "show", ids[0], ""))
	must(t, s.Close())
	wantSound(t, dir)
	return dir, ids, head
}

// edit changes the lines of a file.
func edit(t *testing.T, path string, f func([]string) []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	lines := strings.SplitAfter(string(b), "\n")
	must(t, os.WriteFile(path, []byte(strings.Join(f(lines[:len(lines)-1]), "")), 0o600))
}

func TestVerifyFindsWhatIsNotAsItWasWritten(t *testing.T) {
	change := func(l []string) []string { l[3] = strings.Replace(l[3], "it happened", "nothing was", 1); return l }
	remove := func(l []string) []string { return append(l[:3:3], l[4:]...) }
	reorder := func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }
	truncate := func(l []string) []string { return l[:len(l)-1] }
	rehash := func(name string) func([]string) []string { // by one who knows how the chain is made
		return func(l []string) []string {
			prev, out := seed(name), []string(nil)
			for i, line := range l {
				if i == 3 {
					line = strings.Replace(line, `"time":"2`, `"time":"1`, 1)
				}
				_, rest, err := splitLine([]byte(strings.TrimSuffix(line, "\n")))
				must(t, err)
				prev = link(prev, rest)
				out = append(out, fmt.Sprintf("%s%s%s%s\n", lineHead, prev, lineSep, rest))
			}
			return out
		}
	}
	records := func(f func([]string) []string) func(*testing.T, string, []string) {
		return func(t *testing.T, dir string, ids []string) {
			edit(t, filepath.Join(incidentDir(dir, ids[0]), recordsName), f)
		}
	}
	audit := func(f func([]string) []string) func(*testing.T, string, []string) {
		return func(t *testing.T, dir string, _ []string) { edit(t, filepath.Join(dir, auditName), f) }
	}
	tests := []struct {
		name string
		harm func(t *testing.T, dir string, ids []string)
		want string
	}{
		{"a changed record", records(change), "records.jsonl:4: the hash is wrong"},
		{"a removed record", records(remove), "records.jsonl:4: the hash is wrong"},
		{"reordered records", records(reorder), "records.jsonl:3: the hash is wrong"},
		{"a removed last record", records(truncate), "the audit log knows of 7"},
		{"a torn last record", records(func(l []string) []string { n := len(l) - 1; l[n] = l[n][:50]; return l }), "the audit log knows of 7"},
		{"no record left", records(func([]string) []string { return nil }), "has 0 records"},
		{"records hashed anew", func(t *testing.T, dir string, ids []string) {
			edit(t, filepath.Join(incidentDir(dir, ids[0]), recordsName), rehash("incident "+ids[0]))
		}, "is not the one that the audit log knows"},
		{"records of another incident", func(t *testing.T, dir string, ids []string) {
			b, _ := os.ReadFile(filepath.Join(incidentDir(dir, ids[1]), recordsName))
			os.WriteFile(filepath.Join(incidentDir(dir, ids[0]), recordsName), b, 0o600)
		}, "records.jsonl:1: the hash is wrong"},
		{"garbage among records", records(func(l []string) []string { l[1] = "garbage\n"; return l }), "records.jsonl:2: not a record"},
		{"an incident that is gone", func(t *testing.T, dir string, ids []string) { os.RemoveAll(incidentDir(dir, ids[0])) }, "it is gone"},
		{"an incident that was added", func(t *testing.T, dir string, ids []string) {
			must(t, os.CopyFS(incidentDir(dir, "20200101T000000Z-00000000"), os.DirFS(incidentDir(dir, ids[0]))))
		}, "the audit log does not know it"},
		{"a changed capture", func(t *testing.T, dir string, ids []string) {
			os.WriteFile(filepath.Join(incidentDir(dir, ids[0]), "c.scap"), []byte("abd"), 0o600)
		}, "capture c.scap was changed"},
		{"a capture that is gone", func(t *testing.T, dir string, ids []string) {
			os.Remove(filepath.Join(incidentDir(dir, ids[0]), "c.scap"))
		}, "c.scap: no such file"},
		{"a file that was added", func(t *testing.T, dir string, ids []string) {
			os.WriteFile(filepath.Join(incidentDir(dir, ids[0]), "d.scap"), nil, 0o600)
		}, "d.scap is in no record"},
		{"a stranger among the incidents", func(t *testing.T, dir string, ids []string) {
			os.WriteFile(filepath.Join(dir, incidentsDir, "x"), nil, 0o600)
		}, "x is no incident"},
		{"a changed audit record", audit(func(l []string) []string {
			l[2] = strings.Replace(l[2], "kill", "look", 1)
			l[3] = strings.Replace(l[3], "incident", "incidenT", 1)
			return l
		}), "audit.jsonl:"},
		{"a removed audit record", audit(remove), "audit.jsonl:4 the hash is wrong"},
		{"reordered audit records", audit(reorder), "audit.jsonl:3 the hash is wrong"},
		{"a removed last audit record", audit(truncate), "it was at record"},
		{"an audit log that is gone", func(t *testing.T, dir string, _ []string) { os.Remove(filepath.Join(dir, auditName)) }, "it is gone"},
		{"a noted head that is gone", func(t *testing.T, dir string, _ []string) { os.Remove(filepath.Join(dir, headName)) }, "nothing tells whether the end of the log is"},
		{"an audit log hashed anew", audit(rehash("audit")), "is not the one that was noted as the last"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, ids, _ := sound(t)
			tt.harm(t, dir, ids)
			r, err := Verify(dir, "")
			must(t, err)
			if !strings.Contains(fmt.Sprint(r.Findings), tt.want) {
				t.Errorf("got %v, want …%s…", r.Findings, tt.want)
			}
			// A store that is used again does not make it undone.
			if s, err := Open(dir, Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
				mustAdd(t, s, alertAt(99, time.Now()), in("new", 0, 1))
				must(t, s.Close())
			}
			if r, err = Verify(dir, ""); err != nil || r.OK() {
				t.Errorf("after further use nothing is found: %v", err)
			}
		})
	}
}

func TestVerifyWithAHeadFindsAStoreThatWasMadeAnew(t *testing.T) {
	dir, _, head := sound(t)
	if r, err := Verify(dir, head); err != nil || !r.OK() {
		t.Errorf("%+v %v", r, err)
	}
	other, _, _ := sound(t)
	r, err := Verify(other, head)
	must(t, err)
	if r.OK() || !strings.Contains(r.Findings[0].What, "no record has the hash") {
		t.Errorf("%+v", r.Findings)
	}
}

func TestAuditLogOfSeveralProcessesIsOneChain(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenAudit(dir)
	must(t, err)
	defer a.Close()
	b, err := OpenAudit(dir)
	must(t, err)
	defer b.Close()
	for range 10 {
		must(t, a.Access(Caller("a"), "list", "", ""))
		must(t, b.Access(Caller("b"), "list", "", ""))
		must(t, b.Change(Caller("b"), "mode", "p: enforce"))
	}
	must(t, os.MkdirAll(filepath.Join(dir, incidentsDir), 0o700))
	if r := wantSound(t, dir); r.Audit != 30 {
		t.Errorf("%d records", r.Audit)
	}
}

func TestAuditLogGoesOnInAnotherFileWhenOneIsFull(t *testing.T) {
	dir, ids, _ := sound(t)
	a, err := OpenAudit(dir)
	must(t, err)
	for range 3 {
		a.mu.Lock()
		must(t, os.Rename(a.path(), filepath.Join(dir, fmt.Sprintf("audit-%012d.jsonl", a.log.seq))))
		a.mu.Unlock()
		must(t, a.Access(Caller("a"), "list", "", ""))
	}
	a.Close()
	if r := wantSound(t, dir); r.Incidents != 2 {
		t.Errorf("%+v", r)
	}
	// The oldest files may go: checkpoints say what was before.
	archives, err := auditArchives(dir)
	must(t, err)
	must(t, os.Remove(archives[0]))
	must(t, os.Remove(archives[1]))
	wantSound(t, dir)
	// Not one in between.
	must(t, os.RemoveAll(incidentDir(dir, ids[0])))
	r, err := Verify(dir, "")
	must(t, err)
	if len(r.Findings) != 1 {
		t.Errorf("%+v", r.Findings)
	}
}

func FuzzReadChain(f *testing.F) {
	line, d, err := appendLine(nil, seed("incident x"), &Record{1, noon, KindNote, []byte(`{"text":"a"}`)})
	if err != nil {
		f.Fatal(err)
	}
	two, _, err := appendLine(line, d, &Record{2, noon, KindClosed, []byte(`{"reason":"b"}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(two)
	f.Add(two[:len(two)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x")
		must(t, os.WriteFile(path, b, 0o600))
		var s Summary
		c, err := readChain(path, incidentSeed("x"), func(r *Record, _ digest) error { return s.apply(r) })
		if err == nil && c.size != int64(len(b)) {
			t.Errorf("%d of %d bytes, and no error", c.size, len(b))
		}
		newReplay().readFile(path)
	})
}

const beWriter = "ROLLCAGE_TEST_EVIDENCE"

// writer adds evidence until it is killed, and prints the ID of each alert that is kept.
func writer(dir string) {
	s, err := Open(dir, Options{Window: time.Hour, SyncEvery: time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for n := 0; ; n++ {
		a := alertAt(0, time.Now())
		a.ID = fmt.Sprintf("%d-%d", os.Getpid(), n)
		id, err := s.Add(a, in(fmt.Sprint(rand.IntN(3)), 0, int64(rand.IntN(5)+1)))
		if err == nil {
			fmt.Println(a.ID)
			switch rand.IntN(10) {
			case 0:
				s.Begin(id, &Action{ID: a.ID, Kind: "kill", Target: "it"})
			case 1:
				s.AddCapture(id, Capture{Name: "c-" + a.ID}, func(w io.Writer) error { _, err := w.Write(make([]byte, 10000)); return err })
			case 2:
				s.Tend()
			}
		}
	}
}

// A store whose process is killed at any moment, again and again, verifies and
// has every alert that it took.
func TestKilledProcessLeavesSoundEvidence(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 10
	}
	dir := t.TempDir()
	acked := map[string]bool{}
	for range kills {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), beWriter+"="+dir)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		must(t, cmd.Start())
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		lines := strings.SplitAfter(out.String(), "\n")
		for _, l := range lines[:len(lines)-1] {
			acked[strings.TrimSpace(l)] = true
		}
	}
	wantSound(t, dir)
	mustOpen(t, dir, Options{}).Close()
	r := wantSound(t, dir)
	ids, err := incidentIDs(dir)
	must(t, err)
	for _, id := range ids {
		b, err := os.ReadFile(filepath.Join(incidentDir(dir, id), recordsName))
		must(t, err)
		for id := range acked {
			if bytes.Contains(b, []byte(`"id":"`+id+`"`)) {
				delete(acked, id)
			}
		}
	}
	if len(acked) > 0 {
		t.Errorf("%d alerts are lost", len(acked))
	}
	t.Logf("%+v", r)
}
