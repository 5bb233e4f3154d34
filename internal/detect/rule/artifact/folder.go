package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"rollcage/internal/detect/rule"
)

// Folder is a folder of rules files that artifacts are kept in. What came from
// which is noted beside them, in a file that is no rules file.
type Folder struct {
	Path string
	lock *os.File
	state
}

// state is what the folder's note holds: artifacts by reference.
type state struct {
	Artifacts map[string]*Installed `json:"artifacts"`
}

// Installed is an artifact that is in a folder.
type Installed struct {
	Digest  string    `json:"digest"`
	Name    string    `json:"name,omitempty"`
	Version string    `json:"version,omitempty"`
	Files   []string  `json:"files"`
	Time    time.Time `json:"time"`
}

// stateName is the name of the note in a folder.
const stateName = ".rollcage-artifacts.json"

// ErrRefused is wrapped by errors of what is not put into a folder because
// the rules would not be valid any more.
var ErrRefused = errors.New("refused: the rules would not be valid")

// OpenFolder opens a folder, which is made if it is not there, and keeps
// others from changing it until Close.
func OpenFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, ".rollcage-artifacts.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: path, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("another update works on %s: %w", path, err)
	}
	data, err := os.ReadFile(filepath.Join(path, stateName))
	if err == nil {
		err = json.Unmarshal(data, &f.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = lock.Close()
		return nil, fmt.Errorf("reading what is installed in %s: %w", path, err)
	}
	if f.Artifacts == nil {
		f.Artifacts = map[string]*Installed{}
	}
	return f, nil
}

// Close lets others change the folder.
func (f *Folder) Close() error { return f.lock.Close() }

// Current returns what is installed of a reference, nil for nothing or if one
// of its files is gone.
func (f *Folder) Current(ref string) *Installed {
	in := f.Artifacts[ref]
	if in == nil {
		return nil
	}
	for _, name := range in.Files {
		if _, err := os.Stat(filepath.Join(f.Path, name)); err != nil {
			return nil
		}
	}
	return in
}

// Overlay returns the rules files of the folder as they would be with an
// artifact in it, by name, with their paths.
func (f *Folder) Overlay(a *Artifact) []rule.File {
	var old []string
	if in := f.Artifacts[a.Ref]; in != nil {
		old = in.Files
	}
	var out []rule.File
	for _, file := range rule.ReadFiles(f.Path) {
		base := filepath.Base(file.Name)
		if !slices.Contains(old, base) && !slices.ContainsFunc(a.Files, func(n rule.File) bool { return n.Name == base }) {
			out = append(out, file)
		}
	}
	for _, n := range a.Files {
		out = append(out, rule.File{Name: filepath.Join(f.Path, n.Name), Data: n.Data})
	}
	slices.SortFunc(out, func(a, b rule.File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return out
}

// Install puts an artifact in place of what is there of the same reference,
// each file at once. check says whether the rules in use are valid with the
// folder as it is then; if not, everything is put back as it was.
func (f *Folder) Install(a *Artifact, check func() error) error {
	owner := f.owners()
	for _, n := range a.Files {
		_, err := os.Lstat(filepath.Join(f.Path, n.Name))
		if ref := owner[n.Name]; err == nil && ref != a.Ref {
			from := "is not from an artifact"
			if ref != "" {
				from = "is from " + ref
			}
			return fmt.Errorf("%s is there already and %s; move it away or use another folder", filepath.Join(f.Path, n.Name), from)
		}
	}
	before, err := f.backup(a)
	if err != nil {
		return err
	}
	undo := func(why error) error { return errors.Join(why, f.restore(before)) }
	for _, n := range a.Files {
		if err := writeFile(filepath.Join(f.Path, n.Name), n.Data, 0o644); err != nil {
			return undo(err)
		}
	}
	for name := range before {
		if !slices.ContainsFunc(a.Files, func(n rule.File) bool { return n.Name == name }) {
			if err := os.Remove(filepath.Join(f.Path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return undo(err)
			}
		}
	}
	if err := check(); err != nil {
		return undo(err)
	}
	in := &Installed{Digest: a.Digest, Name: a.Name, Version: a.Version, Time: time.Now().UTC().Truncate(time.Second)}
	for _, n := range a.Files {
		in.Files = append(in.Files, n.Name)
	}
	f.Artifacts[a.Ref] = in
	return f.save()
}

// owners returns the reference that each file is from.
func (f *Folder) owners() map[string]string {
	owner := map[string]string{}
	for ref, in := range f.Artifacts {
		for _, name := range in.Files {
			owner[name] = ref
		}
	}
	return owner
}

// backup returns the files that installing an artifact changes; nil content
// for those that are not there.
func (f *Folder) backup(a *Artifact) (map[string][]byte, error) {
	before := map[string][]byte{}
	for _, n := range a.Files {
		before[n.Name] = nil
	}
	if in := f.Artifacts[a.Ref]; in != nil {
		for _, name := range in.Files {
			before[name] = nil
		}
	}
	for name := range before {
		data, err := os.ReadFile(filepath.Join(f.Path, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			before[name] = append([]byte{}, data...)
		}
	}
	return before, nil
}

func (f *Folder) restore(before map[string][]byte) error {
	var errs []error
	for name, data := range before {
		path := filepath.Join(f.Path, name)
		if data == nil {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		errs = append(errs, writeFile(path, data, 0o644))
	}
	return errors.Join(errs...)
}

func (f *Folder) save() error {
	data, err := json.MarshalIndent(f.state, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(f.Path, stateName), append(data, '\n'), 0o644)
}

// writeFile puts a file into place at once, whole and on disk.
func writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	t, err := os.CreateTemp(filepath.Dir(path), ".rollcage-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = t.Close()
			_ = os.Remove(t.Name())
		}
	}()
	if _, err = t.Write(data); err != nil {
		return err
	}
	if err = t.Chmod(mode); err != nil {
		return err
	}
	if err = t.Sync(); err != nil {
		return err
	}
	if err = t.Close(); err != nil {
		return err
	}
	return os.Rename(t.Name(), path)
}
