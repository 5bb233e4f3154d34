package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func content(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".rollcage-artifacts") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name()+"="+string(data))
	}
	return strings.Join(out, " ")
}

func open(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func fine() error { return nil }

func TestAFolderHoldsWhatWasInstalledLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules.d")
	f := open(t, dir)
	if err := f.Install(&Artifact{Ref: "r", Digest: "d1", Files: rules("a.yaml", "1", "b.yaml", "1")}, fine); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte("own"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := &Artifact{Ref: "r", Digest: "d2", Files: rules("b.yaml", "2", "c.yaml", "2")}
	var names []string
	for _, file := range f.Overlay(next) {
		names = append(names, filepath.Base(file.Name)+"="+string(file.Data))
	}
	if got := strings.Join(names, " "); got != "b.yaml=2 c.yaml=2 own.yaml=own" {
		t.Errorf("it would hold %s", got)
	}
	if err := f.Install(next, fine); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir); got != "b.yaml=2 c.yaml=2 own.yaml=own" {
		t.Errorf("it holds %s", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if in := open(t, dir).Current("r"); in == nil || in.Digest != "d2" {
		t.Errorf("what is installed was forgotten: %v", in)
	}
}

func TestAFolderIsPutBackWhenTheRulesAreNotValid(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	if err := f.Install(&Artifact{Ref: "r", Digest: "d1", Files: rules("a.yaml", "1", "b.yaml", "1")}, fine); err != nil {
		t.Fatal(err)
	}
	err := f.Install(&Artifact{Ref: "r", Digest: "d2", Files: rules("b.yaml", "2", "c.yaml", "2")}, func() error {
		if got := content(t, dir); got != "b.yaml=2 c.yaml=2" {
			t.Errorf("what is checked is %s", got)
		}
		return ErrRefused
	})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("error %v", err)
	}
	if got := content(t, dir); got != "a.yaml=1 b.yaml=1" {
		t.Errorf("it holds %s", got)
	}
	if in := f.Current("r"); in == nil || in.Digest != "d1" {
		t.Errorf("installed is %v", in)
	}
}

func TestFilesOfOthersAreNotTouched(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte("own"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Install(&Artifact{Ref: "r", Files: rules("a.yaml", "1")}, fine); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"own.yaml": "is not from an artifact", "a.yaml": "is from r"} {
		if err := f.Install(&Artifact{Ref: "other", Files: rules(name, "2")}, fine); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := content(t, dir); got != "a.yaml=1 own.yaml=own" {
		t.Errorf("it holds %s", got)
	}
}

func TestAFileThatIsGoneIsBroughtAgain(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	if err := f.Install(&Artifact{Ref: "r", Files: rules("a.yaml", "1")}, fine); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if in := f.Current("r"); in != nil {
		t.Errorf("installed is %v", in)
	}
}

func TestTwoUpdatesOfAFolderDoNotMeet(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := OpenFolder(dir); err == nil || !strings.Contains(err.Error(), "another update works on") {
		t.Errorf("error %v", err)
	}
}
