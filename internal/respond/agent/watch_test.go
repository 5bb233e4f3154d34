package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watchedFolder is a folder whose files are watched.
type watchedFolder struct {
	*testing.T
	dir     string
	changes chan struct{}
}

func watchFolder(t *testing.T, set func(f *watchedFolder), paths ...string) *watchedFolder {
	t.Helper()
	f := &watchedFolder{T: t, dir: t.TempDir(), changes: make(chan struct{}, 100)}
	set(f)
	for i := range paths {
		paths[i] = f.path(paths[i])
	}
	if err := Watch(t.Context(), paths, func() { f.changes <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *watchedFolder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *watchedFolder) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *watchedFolder) write(name, text string) {
	f.Helper()
	f.must(os.MkdirAll(filepath.Dir(f.path(name)), 0o700))
	f.must(os.WriteFile(f.path(name), []byte(text), 0o600))
}

// told waits for one call.
func (f *watchedFolder) told() {
	f.Helper()
	select {
	case <-f.changes:
	case <-time.After(20 * time.Second):
		f.Fatal("the change was not seen")
	}
}

// silent checks that there is no call for longer than a change needs.
func (f *watchedFolder) silent() {
	f.Helper()
	select {
	case <-f.changes:
		f.Fatal("a change was seen that is none")
	case <-time.After(3 * settle):
	}
}

func TestChangesOfFilesAreSeen(t *testing.T) {
	one := func(f *watchedFolder) { f.write("rules.yaml", "a") }
	for _, tt := range []struct {
		name  string
		set   func(f *watchedFolder)
		paths []string
		do    func(f *watchedFolder)
	}{
		{"written in place", one, []string{"rules.yaml"}, func(f *watchedFolder) { f.write("rules.yaml", "b") }},
		{"replaced by rename, as editors save", one, []string{"rules.yaml"}, func(f *watchedFolder) {
			f.write("rules.yaml.new", "b")
			f.must(os.Rename(f.path("rules.yaml.new"), f.path("rules.yaml")))
		}},
		{"moved away and made anew", one, []string{"rules.yaml"}, func(f *watchedFolder) {
			f.must(os.Rename(f.path("rules.yaml"), f.path("rules.yaml~")))
			f.write("rules.yaml", "b")
		}},
		{"removed", one, []string{"rules.yaml"}, func(f *watchedFolder) { f.must(os.Remove(f.path("rules.yaml"))) }},
		{"made for the first time", func(*watchedFolder) {}, []string{"rules.yaml"}, func(f *watchedFolder) { f.write("rules.yaml", "a") }},
		{"made with its folder", func(*watchedFolder) {}, []string{"a/b/rules.yaml"}, func(f *watchedFolder) { f.write("a/b/rules.yaml", "a") }},
		{"added to a folder", func(f *watchedFolder) { f.write("d/a.yaml", "a") }, []string{"d"}, func(f *watchedFolder) { f.write("d/b.yaml", "b") }},
		{"a folder that is made anew", func(f *watchedFolder) { f.write("d/a.yaml", "a") }, []string{"d"}, func(f *watchedFolder) {
			f.must(os.RemoveAll(f.path("d")))
			f.write("d/a.yaml", "b")
		}},
		{"behind a link into another folder", func(f *watchedFolder) {
			f.write("real/rules.yaml", "a")
			f.must(os.Symlink("real/rules.yaml", f.path("rules.yaml")))
		}, []string{"rules.yaml"}, func(f *watchedFolder) { f.write("real/rules.yaml", "b") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := watchFolder(t, tt.set, tt.paths...)
			tt.do(f)
			f.told()
			f.silent()
		})
	}
}

// TestConfigMapsAreFollowed turns the link as the kubelet does, many times over.
func TestConfigMapsAreFollowed(t *testing.T) {
	for _, path := range []string{"m", "m/rules.yaml"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := watchFolder(t, func(f *watchedFolder) {
				f.write("m/..1/rules.yaml", "1")
				f.must(os.Symlink("..1", f.path("m/..data")))
				f.must(os.Symlink("..data/rules.yaml", f.path("m/rules.yaml")))
			}, path)
			for _, n := range []string{"2", "3", "4"} {
				f.write("m/.."+n+"/rules.yaml", n)
				f.must(os.Symlink(".."+n, f.path("m/..data_tmp")))
				f.must(os.Rename(f.path("m/..data_tmp"), f.path("m/..data")))
				f.told()
			}
			f.silent()
		})
	}
}

func TestWhatChangesNothingIsNoChange(t *testing.T) {
	f := watchFolder(t, func(f *watchedFolder) { f.write("rules.yaml", "a") }, "rules.yaml")
	f.write("rules.yaml", "a")
	f.write("other.yaml", "b")
	f.must(os.Chmod(f.path("rules.yaml"), 0o640))
	f.silent()
}

func TestManyWritesAreOneChange(t *testing.T) {
	f := watchFolder(t, func(f *watchedFolder) { f.write("rules.yaml", "a") }, "rules.yaml")
	for range 20 {
		f.write("rules.yaml", "half")
		time.Sleep(settle / 20)
	}
	f.write("rules.yaml", "whole")
	f.told()
	f.silent()
}
