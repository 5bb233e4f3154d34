package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rollcage/internal/respond/disk"
)

// AddCapture adds a recording to an incident: write writes it, c says the rest
// but size and hash. After a crash it is there whole or not at all.
func (s *Store) AddCapture(incident string, c Capture, write func(io.Writer) error) error {
	if !capturePattern.MatchString(c.Name) || c.Name == recordsName {
		return fmt.Errorf("evidence: %q cannot be the name of a capture", c.Name)
	}
	if !idPattern.MatchString(incident) {
		return fmt.Errorf("evidence: %q is not the name of an incident", incident)
	}
	dir := incidentDir(s.dir, incident)
	path, waits := filepath.Join(dir, c.Name), filepath.Join(dir, capturingPrefix+c.Name)
	f, err := os.OpenFile(waits, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil && exists(path) {
		err = errors.Join(os.ErrExist, f.Close(), os.Remove(waits))
	}
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	sum := sha256.New()
	n := &counter{}
	err = write(io.MultiWriter(f, sum, n))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close(), disk.SyncDir(dir))
	if err == nil {
		// First the record, then the name: what has a name is in a record. A
		// crash in between is put right by finishCaptures.
		c.Bytes, c.SHA256 = n.n, hex.EncodeToString(sum.Sum(nil))
		err = s.record(incident, KindCapture, &c, "", nil)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("evidence: capture %s of incident %s: %w", c.Name, incident, err), os.Remove(waits))
	}
	if err := os.Rename(waits, path); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return disk.SyncDir(dir)
}

// capturingPrefix begins the name of a capture that has no record yet.
const capturingPrefix = ".capture."

// finishCaptures gives captures their names that a crash kept from it, and
// removes those that were not written whole.
func finishCaptures(dir string) error {
	waiting, err := filepath.Glob(filepath.Join(dir, incidentsDir, "*", capturingPrefix+"*"))
	if err != nil {
		return err
	}
	for _, waits := range waiting {
		folder, base := filepath.Split(waits)
		name := strings.TrimPrefix(base, capturingPrefix)
		recorded := false
		// A broken chain is for Verify to find; what cannot be read is left alone.
		if _, err := ReadIncident(dir, filepath.Base(folder), func(r *Record) error {
			var c Capture
			recorded = recorded || r.Kind == KindCapture && json.Unmarshal(r.Data, &c) == nil && c.Name == name
			return nil
		}); err != nil && !errors.Is(err, errTorn) {
			continue
		}
		if recorded {
			err = os.Rename(waits, filepath.Join(folder, name))
		} else {
			err = os.Remove(waits)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}
