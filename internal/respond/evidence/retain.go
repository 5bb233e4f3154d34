package evidence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcage/internal/respond/disk"
)

const (
	removingPrefix = ".removing-"
	// settle is how long an incident must be past its age before it goes: a
	// clock that is wrong for a while deletes nothing.
	settle = time.Hour
	// settleDoubted is that when the clock was set forward by more than doubtful meanwhile.
	settleDoubted = 24 * time.Hour
	doubtful      = time.Hour
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
			s.end(in, Closed{Reason: "no further alert"})
		}
	}
}

// retain removes closed incidents that are older than MaxAge, and others while
// all together are larger than MaxBytes. It is called with mu held.
func (s *Store) retain(now time.Time) error {
	list, err := s.index.list(Filter{})
	if err != nil {
		return err
	}
	slices.Reverse(list) // the oldest first
	if list, err = s.retainByAge(list, now); err != nil {
		return err
	}
	return s.retainBySize(list)
}

// retainByAge removes what is too old, and returns the rest.
func (s *Store) retainByAge(list []*Summary, now time.Time) (left []*Summary, err error) {
	if s.opts.MaxAge <= 0 {
		return list, nil
	}
	patience := s.patience(now)
	overdue := map[string]time.Time{}
	for _, sum := range list {
		if sum.Open || now.Sub(sum.Last) <= s.opts.MaxAge {
			left = append(left, sum)
			continue
		}
		since, known := s.overdue[sum.ID]
		if !known {
			since = now
		}
		if now.Sub(since) < patience {
			overdue[sum.ID] = since
			left = append(left, sum)
			continue
		}
		if err := s.remove(sum, "older than "+s.opts.MaxAge.String()); err != nil {
			return left, err
		}
	}
	s.overdue = overdue
	return left, nil
}

// patience returns how long an incident must be too old. When the wall clock
// was set forward it may be wrong, and somebody gets the time to find that out.
func (s *Store) patience(now time.Time) time.Duration {
	ahead := now.Round(0).Sub(s.opened.Round(0)) - now.Sub(s.opened)
	if ahead-s.ahead > doubtful {
		s.doubted = now
		s.opts.Log.Warn("evidence: the clock was set forward; nothing is removed because of its age for a day", "by", (ahead - s.ahead).Round(time.Second))
	}
	s.ahead = ahead
	if !s.doubted.IsZero() && now.Sub(s.doubted) < settleDoubted {
		return settleDoubted
	}
	return settle
}

// doubt takes the wall clock for one that may be wrong when by the audit log it went forward by more than a day less than
// a day ago: it was set, maybe before a restart, or nobody was there for so long. Both look the same.
func (s *Store) doubt(log *replay) {
	now := time.Now()
	log.pass(now)
	if ago := now.Sub(log.leap); !log.leap.IsZero() && ago >= 0 && ago < settleDoubted {
		s.doubted = now
		s.opts.Log.Warn("evidence: the audit log has a gap of more than a day, or the clock was set forward; nothing is removed because of its age for a day",
			"until", log.leap.UTC().Format(time.RFC3339))
	}
}

// retainBySize removes incidents while all are too large. list is sorted, the oldest first.
func (s *Store) retainBySize(list []*Summary) error {
	if s.opts.MaxBytes <= 0 {
		return nil
	}
	var total int64
	for _, sum := range list {
		total += sum.Bytes
	}
	for total > s.opts.MaxBytes {
		i := expendable(list, s.opts.MaxBytes/2)
		if i < 0 {
			return nil
		}
		if err := s.remove(list[i], fmt.Sprintf("more than %d bytes of evidence", s.opts.MaxBytes)); err != nil {
			return err
		}
		total -= list[i].Bytes
		list = slices.Delete(list, i, i+1)
	}
	return nil
}

// expendable returns which of the incidents goes first, -1 if none may: the
// oldest one that is closed. But one that goes on and on, as in a flood of
// alerts, must not push out all others: when its parts are larger than share,
// the oldest of them after the first goes.
func expendable(list []*Summary, share int64) int {
	parts := map[string]int64{}
	for _, sum := range list {
		parts[sum.first()] += sum.Bytes
	}
	oldest := -1
	for i, sum := range list {
		if sum.Open {
			continue
		}
		if sum.Part > 1 && parts[sum.first()] > share {
			return i
		}
		if oldest < 0 {
			oldest = i
		}
	}
	return oldest
}

// first returns the first part of an incident.
func (s *Summary) first() string {
	if s.Origin != "" {
		return s.Origin
	}
	return s.ID
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
