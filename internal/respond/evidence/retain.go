package evidence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcage/internal/respond/disk"
)

const (
	removingPrefix = ".removing-"
	// settle is how long an incident must be past its age before it goes: a
	// clock that is wrong for a while deletes nothing.
	settle = time.Hour
)

// Tend closes the incidents whose time is over and removes those that are too
// old or too much. It is to be called about once a minute.
func (s *Store) Tend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.sweep()
	err := s.sync()
	return errors.Join(err, s.retain(time.Now()))
}

// sweep closes the incidents whose time is over. It is called with mu held.
func (s *Store) sweep() {
	for _, in := range s.open {
		if time.Since(in.touched) > s.opts.Window {
			s.end(in, "no further alert")
		}
	}
}

// retain removes closed incidents, the oldest first, that are older than MaxAge, and
// while all together are larger than MaxBytes. It is called with mu held.
func (s *Store) retain(now time.Time) error {
	list, err := s.index.list(Filter{})
	if err != nil {
		return err
	}
	var total int64
	for _, sum := range list {
		total += sum.Bytes
	}
	overdue := map[string]time.Time{}
	for i := len(list) - 1; i >= 0; i-- {
		sum := list[i]
		if sum.Open {
			continue
		}
		if s.opts.MaxAge > 0 && now.Sub(sum.Last) > s.opts.MaxAge {
			since, known := s.overdue[sum.ID]
			if !known {
				since = now
			}
			if overdue[sum.ID] = since; now.Sub(since) >= settle {
				if err := s.remove(sum, "older than "+s.opts.MaxAge.String()); err != nil {
					return err
				}
				total -= sum.Bytes
				delete(overdue, sum.ID)
				continue
			}
		}
		if s.opts.MaxBytes > 0 && total > s.opts.MaxBytes {
			if err := s.remove(sum, fmt.Sprintf("more than %d bytes of evidence", s.opts.MaxBytes)); err != nil {
				return err
			}
			total -= sum.Bytes
			delete(overdue, sum.ID)
		}
	}
	s.overdue = overdue
	return nil
}

// remove deletes an incident. The audit log keeps what it was.
func (s *Store) remove(sum *Summary, reason string) error {
	parent := filepath.Join(s.dir, incidentsDir)
	aside := filepath.Join(parent, removingPrefix+sum.ID)
	if err := os.Rename(incidentDir(s.dir, sum.ID), aside); err != nil {
		return fmt.Errorf("evidence: remove %s: %w", sum.ID, err)
	}
	if err := disk.SyncDir(parent); err != nil {
		return err
	}
	return s.finishRemoval(sum.ID, aside, sum.Records, reason)
}

func (s *Store) finishRemoval(id, aside string, records uint64, reason string) error {
	if err := s.audit.Append(auditRemoved, &Entry{Incident: id, Records: records, Detail: reason}); err != nil {
		return err
	}
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("evidence: remove %s: %w", id, err)
	}
	if s.index == nil {
		return nil
	}
	return s.index.drop(id)
}

// finishRemovals goes on where a crash interrupted a removal.
func (s *Store) finishRemovals() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, incidentsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), removingPrefix)
		if !ok || !idPattern.MatchString(id) {
			continue
		}
		if err := s.finishRemoval(id, filepath.Join(s.dir, incidentsDir, e.Name()), 0, "its removal was interrupted"); err != nil {
			return err
		}
	}
	return nil
}
