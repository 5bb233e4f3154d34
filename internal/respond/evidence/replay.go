package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// replay is what reading the audit log from its beginning gives.
type replay struct {
	log     chain
	begun   bool
	anchors map[string]anchor // of the incidents that are to be there
	removed map[string]anchor // of those that were removed
	cuts    []string          // what the log itself says about its gaps
	// at is the hash of record number noted, once that was read.
	noted uint64
	at    *digest
	// last is when the newest record was written, leap when the newest one that came settleDoubted after the one before.
	last, leap time.Time
}

func newReplay() *replay {
	return &replay{log: chain{head: seed("audit")}, anchors: map[string]anchor{}, removed: map[string]anchor{}}
}

// readFile reads one file of the log, after those before it.
func (r *replay) readFile(path string) error {
	if err := r.start(path); err != nil {
		return err
	}
	log, err := readChain(path, r.log, func(rec *Record, hash digest) error {
		if rec.Seq == r.noted {
			r.at = &hash
		}
		var e Entry
		if err := json.Unmarshal(rec.Data, &e); err != nil {
			return err
		}
		r.apply(rec, &e)
		return nil
	})
	r.log, r.begun = log, true
	return err
}

// start takes the state before the first file that is kept from the checkpoint
// at its beginning, as older ones may be gone.
func (r *replay) start(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var first Record
	var e Entry
	if json.NewDecoder(f).Decode(&first) != nil || first.Kind != auditCheckpoint || json.Unmarshal(first.Data, &e) != nil {
		return nil // readChain tells what is wrong with it, if anything
	}
	prev, err := parseDigest(e.Prev)
	if err != nil {
		return &chainError{path, 1, err}
	}
	if r.begun && (prev != r.log.head || first.Seq != r.log.seq+1) {
		return &chainError{path, 1, errors.New("it does not follow the file before")}
	}
	r.log.head, r.log.seq = prev, first.Seq-1
	return nil
}

// pass goes on to the time of a record.
func (r *replay) pass(at time.Time) {
	if !r.last.IsZero() && at.Sub(r.last) > settleDoubted {
		r.leap = at
	}
	r.last = at
}

func (r *replay) apply(rec *Record, e *Entry) {
	r.pass(rec.Time)
	switch rec.Kind {
	case auditOpened, auditAnchor:
		r.anchors[e.Incident] = anchor{e.Records, e.Head}
	case auditRemoved:
		r.removed[e.Incident] = anchor{e.Records, e.Head}
		delete(r.anchors, e.Incident)
	case auditCheckpoint:
		if !r.begun {
			for id, a := range e.Incidents {
				r.anchors[id] = a
			}
		}
		if e.Detail != "" {
			r.cuts = append(r.cuts, fmt.Sprintf("record %d: %s", rec.Seq, e.Detail))
		}
	case auditCut:
		r.cuts = append(r.cuts, fmt.Sprintf("record %d: %s", rec.Seq, e.Detail))
	}
}
