package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rollcage/internal/respond/disk"
)

// Finding is something that is not as it was written.
type Finding struct {
	Where string `json:"where"` // a file, an incident
	What  string `json:"what"`
}

// Report is what Verify found.
type Report struct {
	Incidents int       `json:"incidents"` // that are there
	Records   uint64    `json:"records"`   // of them all
	Captures  int       `json:"captures"`
	Bytes     int64     `json:"bytes"`
	Removed   int       `json:"removed"` // by retention, as the audit log says
	Audit     uint64    `json:"audit_records"`
	Head      string    `json:"head"` // hash of the audit log's last record
	Findings  []Finding `json:"findings"`
}

// OK reports whether everything is as it was written.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) find(where, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{where, fmt.Sprintf(format, args...)})
}

// Verify checks the evidence in a folder: every hash, every record that the
// audit log knows of, every capture. head is a hash that the log had before,
// "" for none: kept elsewhere, it tells whether the whole store was made anew.
// The store may be in use.
func Verify(dir, head string) (*Report, error) {
	r := &Report{Findings: []Finding{}}
	ids, err := incidentIDs(dir)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	// Incidents are read after the log: what is written meanwhile is more than the log says, never less.
	log, err := r.readAudit(dir, head)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	for _, id := range ids {
		a, known := log.anchors[id]
		if !known {
			// One that began, or was removed, just now is in the log of now.
			if log, err = new(Report).readAudit(dir, ""); err != nil {
				return nil, fmt.Errorf("evidence: %w", err)
			}
			a, known = log.anchors[id]
		}
		if !known {
			if exists(incidentDir(dir, id)) {
				r.find("incident "+id, "the audit log does not know it: it was added, or the log was replaced")
			}
			continue
		}
		r.Incidents++
		r.incident(dir, id, a)
	}
	for _, id := range slices.Sorted(maps.Keys(log.anchors)) {
		if !exists(incidentDir(dir, id)) && !exists(incidentDir(dir, beginningPrefix+id)) {
			if now, err := new(Report).readAudit(dir, ""); err != nil || now.anchors[id].Records == 0 {
				continue // removed meanwhile
			}
			r.find("incident "+id, "it is gone, and not by retention")
		}
	}
	r.strangers(filepath.Join(dir, incidentsDir))
	return r, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// readAudit reads the whole log.
func (r *Report) readAudit(dir, head string) (*replay, error) {
	log := newReplay()
	headSeen := head == ""
	paths, err := auditArchives(dir)
	if err != nil {
		return nil, err
	}
	// The noted head is read first: the log is never behind it.
	seq, noted, hasHead, err := notedHead(dir)
	if err != nil {
		return nil, err
	}
	log.noted = seq
	for _, path := range append(paths, filepath.Join(dir, auditName)) {
		err := log.readFile(path)
		var broken *chainError
		switch {
		case errors.Is(err, errTorn): // a crash, or a record that is being written
		case errors.As(err, &broken):
			r.find(fmt.Sprintf("%s:%d", filepath.Base(broken.path), broken.line), "%v", broken.err)
		case errors.Is(err, os.ErrNotExist):
			r.find(filepath.Base(path), "it is gone")
		case err != nil:
			return nil, err
		}
	}
	if !hasHead && log.log.seq > firstHead {
		// One that is being made just now has got its head meanwhile.
		if _, _, there, err := notedHead(dir); err != nil || !there {
			r.find(headName, "it is gone, so that nothing tells whether the end of the log is")
		}
	}
	if hasHead && seq > log.log.seq {
		r.find(auditName, "it ends at record %d; it was at record %d before", log.log.seq, seq)
	} else if hasHead && log.at != nil && *log.at != noted {
		r.find(auditName, "record %d is not the one that was noted as the last", seq)
	}
	for _, c := range log.cuts {
		r.find(auditName, "%s", c)
	}
	if broken, _ := filepath.Glob(filepath.Join(dir, auditName+".broken-*")); len(broken) > 0 {
		r.find(filepath.Base(broken[0]), "a part of the audit log that was broken and set aside")
	}
	if !headSeen && !contains(append(paths, filepath.Join(dir, auditName)), head) {
		r.find(auditName, "no record has the hash %s", head)
	}
	r.Audit, r.Head, r.Removed = log.log.seq, log.log.head.String(), len(log.removed)
	return log, nil
}

// contains reports whether a line of the files begins with a hash. That the
// hashes are right is checked elsewhere.
func contains(paths []string, hash string) bool {
	want := []byte(lineHead + hash + `"`)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil && (bytes.HasPrefix(b, want) || bytes.Contains(b, append([]byte{'\n'}, want...))) {
			return true
		}
	}
	return false
}

func notedHead(dir string) (seq uint64, head digest, ok bool, err error) {
	path := filepath.Join(dir, headName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return 0, head, false, nil
	}
	slot, err := disk.OpenSlot(path)
	if err != nil {
		return 0, head, false, err
	}
	defer slot.Close()
	seq, head, ok = parseHead(slot.Value())
	return seq, head, ok, nil
}

// incident checks the files of an incident.
func (r *Report) incident(dir, id string, a anchor) {
	where := "incident " + id
	var atAnchor digest
	captures := map[string]Capture{}
	c, err := readChain(filepath.Join(incidentDir(dir, id), recordsName), incidentSeed(id), func(rec *Record, hash digest) error {
		if rec.Seq == a.Records {
			atAnchor = hash
		}
		if rec.Kind == KindCapture {
			var capture Capture
			if err := json.Unmarshal(rec.Data, &capture); err != nil {
				return err
			}
			captures[capture.Name] = capture
		}
		return nil
	})
	var broken *chainError
	switch {
	case errors.Is(err, errTorn): // a crash, or a record that is being written
	case errors.As(err, &broken):
		r.find(where, "%s:%d: %v", recordsName, broken.line, broken.err)
	case err != nil:
		r.find(where, "%v", err)
	}
	r.Records += c.seq
	r.Bytes += c.size
	switch {
	case c.seq < a.Records:
		r.find(where, "%s has %d records that are whole and right; the audit log knows of %d", recordsName, c.seq, a.Records)
	case atAnchor.String() != a.Head:
		r.find(where, "%s: record %d is not the one that the audit log knows", recordsName, a.Records)
	}
	r.captures(dir, id, captures)
}

func (r *Report) captures(dir, id string, captures map[string]Capture) {
	where := "incident " + id
	for _, name := range slices.Sorted(maps.Keys(captures)) {
		c := captures[name]
		path := filepath.Join(incidentDir(dir, id), filepath.Base(name))
		if waits := filepath.Join(incidentDir(dir, id), capturingPrefix+filepath.Base(name)); !exists(path) && exists(waits) {
			path = waits // a crash right before it got its name
		}
		sum, n, err := hashFile(path)
		switch {
		case err != nil:
			r.find(where, "capture %s: %v", name, err)
		case n != c.Bytes || sum != c.SHA256:
			r.find(where, "capture %s was changed: %d bytes with SHA-256 %s, it had %d bytes with %s", name, n, sum, c.Bytes, c.SHA256)
		}
		r.Captures++
		r.Bytes += n
	}
	entries, err := os.ReadDir(incidentDir(dir, id))
	if err != nil {
		r.find(where, "%v", err)
	}
	for _, e := range entries {
		// Captures that are being written, or that a crash cut short, have a hidden name.
		if _, ok := captures[e.Name()]; !ok && e.Name() != recordsName && !strings.HasPrefix(e.Name(), capturingPrefix) {
			r.find(where, "the file %s is in no record", e.Name())
		}
	}
}

// strangers finds what is among the incidents and is none.
func (r *Report) strangers(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.find(incidentsDir, "%v", err)
	}
	for _, e := range entries {
		name := strings.TrimPrefix(strings.TrimPrefix(e.Name(), removingPrefix), beginningPrefix)
		if !idPattern.MatchString(name) {
			r.find(incidentsDir, "%s is no incident", e.Name())
		}
	}
}

func hashFile(path string) (sum string, n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}
