package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How long files must be left alone before they are looked at, and how long
// that may put it off. Editors and package managers write in several steps.
const (
	settle    = 200 * time.Millisecond
	maxSettle = 2 * time.Second
)

// maxLinks bounds how many symbolic links are followed from a path.
const maxLinks = 16

// Watch calls changed when the contents of one of the files, or of a file
// right in one of the folders, are others than when it was called, until ctx
// ends. Files may be replaced by rename, removed and made again, or be links
// that are turned to other files, as Kubernetes does with the keys of a
// ConfigMap. changed is called by Watch's goroutine; changes during the call
// make another.
//
// It returns an error if it cannot watch at all; a path that is missing is
// waited for.
func Watch(ctx context.Context, paths []string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files for changes: %w", err)
	}
	fw := &fileWatch{Watcher: w, paths: paths, watched: map[string]bool{}}
	before := fw.look()
	if len(fw.watched) == 0 {
		return errors.Join(fmt.Errorf("watch files for changes: no folder of %q can be watched", paths), w.Close())
	}
	go func() {
		defer func() { _ = w.Close() }()
		for fw.wait(ctx) {
			if now := fw.look(); now != before {
				before = now
				changed()
			}
		}
	}()
	return nil
}

type fileWatch struct {
	*fsnotify.Watcher
	paths   []string
	watched map[string]bool // folders
}

// wait returns true once something happened in a folder and then nothing for
// a moment; false when ctx ends.
func (w *fileWatch) wait(ctx context.Context) bool {
	var quiet <-chan time.Time
	var begun time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-quiet:
			return true
		case err := <-w.Errors:
			// An overflow of the queue: something happened, it is not known what.
			slog.Debug("watching files for changes", "error", err)
		case e := <-w.Events:
			if e.Op == fsnotify.Chmod {
				continue
			}
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				delete(w.watched, e.Name) // if it was a folder it is watched no more
			}
		}
		if quiet == nil {
			begun = time.Now()
		}
		if time.Since(begun) < maxSettle {
			quiet = time.After(settle)
		}
	}
}

// look returns what tells the contents of the files apart, and sees to it that
// every folder is watched in which a change of them would show.
func (w *fileWatch) look() string {
	for _, p := range w.paths {
		w.follow(p)
	}
	h := sha256.New()
	for _, p := range w.paths {
		for _, f := range filesAt(p) {
			data, err := os.ReadFile(f)
			fmt.Fprintf(h, "%s\x00%t\x00%d\x00", f, err == nil, len(data))
			h.Write(data)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// filesAt returns the path, or the files in the folder that it is.
func filesAt(path string) []string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return []string{path}
	}
	var out []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() {
			out = append(out, name)
		}
	}
	return out
}

// follow watches the folder that has the path, and if it is a link, those of
// all that it leads over.
func (w *fileWatch) follow(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	for range maxLinks {
		w.watch(filepath.Dir(path))
		// A link further up, as ..data is, may be turned too.
		for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
			if isLink(dir) {
				w.watch(filepath.Dir(dir))
			}
		}
		if !isLink(path) {
			break
		}
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return
	}
	w.watch(path)
	for _, f := range filesAt(path) {
		if isLink(f) {
			w.follow(f)
		}
	}
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// watch watches a folder, or as long as it is missing the nearest one above it.
func (w *fileWatch) watch(dir string) {
	for !w.watched[dir] {
		if w.Add(dir) == nil {
			w.watched[dir] = true
		}
		if dir == "/" {
			return
		}
		if _, err := os.Stat(dir); err == nil {
			return
		}
		dir = filepath.Dir(dir)
	}
}
