package evidence

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Export writes an incident as a gzipped tar archive: its records and captures
// as they are, and the records of the audit log, by which the others can be
// checked. It reads the folder of a store that may be in use.
func Export(dir, id string, w io.Writer) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("evidence: %q is not the name of an incident", id)
	}
	entries, err := os.ReadDir(incidentDir(dir, id))
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, e := range entries {
		if e.Name()[0] == '.' || !e.Type().IsRegular() {
			continue
		}
		if err := exportFile(t, filepath.Join(incidentDir(dir, id), e.Name()), id+"/"+e.Name()); err != nil {
			return err
		}
	}
	logs, err := auditArchives(dir)
	if err != nil {
		return err
	}
	for _, path := range append(logs, filepath.Join(dir, auditName)) {
		if err := exportFile(t, path, "audit/"+filepath.Base(path)); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// exportFile adds a file as long as it is when it is opened.
func exportFile(t *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second)}); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	if _, err := io.CopyN(t, f, info.Size()); err != nil {
		return fmt.Errorf("evidence: %s: %w", path, err)
	}
	return nil
}
