// Package disk writes what must outlast a crash: files that are replaced
// whole, and slots, which are small values that change often.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Replace puts a file with the data at path, for its owner alone. After a
// crash there is the old file or the new one, whole; when Replace has returned
// nil it is the new one.
func Replace(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("replace %s: %w", path, errors.Join(err, f.Close(), os.Remove(f.Name())))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	f.Close() // everything is synced
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes lasting what was created, renamed and removed in a folder.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// SetAside renames a file that cannot be read to a name of its own beside it, which it returns, so that another can take its place.
func SetAside(path string) (string, error) {
	aside := path + "." + time.Now().UTC().Format("20060102T150405.000000000Z") + ".bad"
	return aside, os.Rename(path, aside)
}
