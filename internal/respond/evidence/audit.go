package evidence

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/disk"
)

// The kinds of records in the audit log.
const (
	auditOpened     = "opened"     // an incident
	auditAnchor     = "anchor"     // how far an incident's records are, and their hash
	auditRemoved    = "removed"    // an incident, by retention
	auditAccess     = "access"     // somebody looked
	auditAction     = "action"     // is about to run
	auditOutcome    = "outcome"    // of an action
	auditChange     = "change"     // of a setting, such as a policy's mode
	auditCheckpoint = "checkpoint" // at the beginning of a file: what was before
	auditCut        = "cut"        // the log ended before its noted head
)

const (
	auditName = "audit.jsonl"
	headName  = "audit.head"
	// firstHead is the number of the record after which the head is noted for the first time: a crash right before that leaves none.
	firstHead = 1
	// auditBytes is how large a file of the log becomes before the next one begins.
	auditBytes = 64 << 20
)

// Entry is the data of a record in the audit log. What does not apply is empty.
type Entry struct {
	Who      *Who   `json:"who,omitempty"`
	Act      string `json:"act,omitempty"` // list, show, export, verify, kill …
	Incident string `json:"incident,omitempty"`
	// Records and Head are the number of an incident's records and the hash of the last one.
	Records uint64 `json:"records,omitempty"`
	Head    string `json:"head,omitempty"`
	Detail  string `json:"detail,omitempty"`
	// Prev and Incidents are in a checkpoint: the hash before it, and the
	// anchor of each incident that is there.
	Prev      string            `json:"prev,omitempty"`
	Incidents map[string]anchor `json:"incidents,omitempty"`
}

// anchor says how far an incident's records are at least.
type anchor struct {
	Records uint64 `json:"records"`
	Head    string `json:"head"`
}

// Who is the one who acted.
type Who struct {
	User     string `json:"user,omitempty"` // name, or of an API the subject of the token
	UID      uint32 `json:"uid"`
	LoginUID uint32 `json:"login_uid"` // who logged in, 4294967295 if nobody did
	Sudo     string `json:"sudo,omitempty"`
	PID      int    `json:"pid"`
	Via      string `json:"via"` // command line, API …
}

// Caller returns who runs this process.
func Caller(via string) *Who {
	w := &Who{UID: uint32(os.Getuid()), LoginUID: ^uint32(0), Sudo: os.Getenv("SUDO_USER"), PID: os.Getpid(), User: os.Getenv("USER"), Via: via}
	b, err := os.ReadFile("/proc/self/loginuid")
	if n, perr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32); err == nil && perr == nil {
		w.LoginUID = uint32(n)
	}
	return w
}

// Audit is the hash-chained log of every access and action. Several processes
// may append to it at the same time.
type Audit struct {
	dir  string
	mu   sync.Mutex
	lock *os.File
	log  chain
	slot *disk.Slot
}

// OpenAudit opens the audit log in a folder, or makes one.
func OpenAudit(dir string) (*Audit, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "audit.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	a := &Audit{dir: dir, lock: lock}
	a.log.size = -1 // nothing is read yet
	if err := a.locked(func() error { return nil }); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Append adds a record, which is on the disk when Append returns nil.
func (a *Audit) Append(kind string, e *Entry) error {
	return a.locked(func() error { return a.append(kind, e) })
}

// Access notes that somebody looked at evidence, or at an incident of it.
func (a *Audit) Access(who *Who, act, incident, detail string) error {
	return a.Append(auditAccess, &Entry{Who: who, Act: act, Incident: incident, Detail: detail})
}

// Change notes that somebody changed a setting.
func (a *Audit) Change(who *Who, act, detail string) error {
	return a.Append(auditChange, &Entry{Who: who, Act: act, Detail: detail})
}

// Head returns the number of the last record and its hash. Kept elsewhere, it
// lets [Verify] find that the log was replaced as a whole.
func (a *Audit) Head() (seq uint64, hash string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.seq, a.log.head.String()
}

// Close closes the log.
func (a *Audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	if a.log.file != nil {
		errs = append(errs, a.log.file.Close())
		a.log.file = nil
	}
	if a.slot != nil {
		errs = append(errs, a.slot.Close())
		a.slot = nil
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
		a.lock = nil
	}
	return errors.Join(errs...)
}

var errAuditClosed = errors.New("audit log: it is closed")

// locked runs f with the end of the log known and other processes kept out.
func (a *Audit) locked(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lock == nil {
		return errAuditClosed
	}
	if err := unix.Flock(int(a.lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("audit log: lock: %w", err)
	}
	defer unix.Flock(int(a.lock.Fd()), unix.LOCK_UN)
	if err := a.load(); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if err := f(); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

func (a *Audit) path() string { return filepath.Join(a.dir, auditName) }

// load finds the end of the log unless nobody has written since the last time.
func (a *Audit) load() error {
	if a.log.file != nil {
		here, err := a.log.file.Stat()
		there, err2 := os.Stat(a.path())
		if err == nil && err2 == nil && os.SameFile(here, there) && here.Size() == a.log.size {
			return nil
		}
	}
	a.forget()
	slot, err := disk.OpenSlot(filepath.Join(a.dir, headName))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(a.path(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return errors.Join(err, slot.Close())
	}
	a.slot = slot
	a.log.file = f
	line, end, err := tailOf(f)
	if err == nil && end > 0 {
		err = a.resume(line, end)
	} else if err == nil {
		err = a.begin()
	}
	if err == nil {
		err = a.compareHead()
	}
	if err != nil {
		a.forget() // half of it is known: the next time it is read again
	}
	return err
}

// forget closes what is open, if anything is, so that load begins anew.
func (a *Audit) forget() {
	if a.log.file != nil {
		a.log.file.Close()
	}
	if a.slot != nil {
		a.slot.Close()
	}
	a.log, a.slot = chain{head: seed("audit")}, nil
}

// resume goes on after the last whole line. Whether all lines before it are
// right is for Verify to find out.
func (a *Audit) resume(line []byte, end int64) error {
	hash, rest, err := splitLine(line)
	var r Record
	if err == nil {
		err = json.Unmarshal(append([]byte{'{'}, rest...), &r)
	}
	if err != nil {
		return a.setAside(err)
	}
	a.log.seq, a.log.head, a.log.size = r.Seq, hash, end
	return a.log.file.Truncate(end)
}

// setAside starts a new file when the end of the old one is no record. It goes
// on from the noted head, so that Verify finds the gap.
func (a *Audit) setAside(reason error) error {
	// The time of day may come twice, and nothing is to be replaced.
	now := time.Now().UTC().Format("20060102T150405Z")
	old := fmt.Sprintf("%s.broken-%s", a.path(), now)
	for n := 2; exists(old); n++ {
		old = fmt.Sprintf("%s.broken-%s-%d", a.path(), now, n)
	}
	if err := os.Rename(a.path(), old); err != nil {
		return err
	}
	a.log.file.Close()
	f, err := os.OpenFile(a.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	a.log = chain{file: f}
	if seq, head, ok := parseHead(a.slot.Value()); ok {
		a.log.seq, a.log.head = seq, head
	}
	return a.append(auditCheckpoint, &Entry{
		Prev: a.log.head.String(), Detail: fmt.Sprintf("the log before this was broken (%v) and is now %s", reason, filepath.Base(old)),
	})
}

// begin starts a file that is empty: the first one, or the one after a full one.
func (a *Audit) begin() error {
	archives, err := a.archives()
	if err != nil || len(archives) == 0 {
		return err
	}
	state := newReplay()
	if err := state.readFile(archives[len(archives)-1]); err != nil {
		return a.setAside(err)
	}
	a.log.seq, a.log.head = state.log.seq, state.log.head
	return a.append(auditCheckpoint, &Entry{Prev: a.log.head.String(), Incidents: state.anchors})
}

// compareHead notes in the log itself when its end is missing.
func (a *Audit) compareHead() error {
	seq, head, ok := parseHead(a.slot.Value())
	if !ok && a.log.seq > firstHead {
		return a.append(auditCut, &Entry{Detail: fmt.Sprintf("%s was gone when the log had %d records: its end may be, too", headName, a.log.seq)})
	}
	if !ok || seq < a.log.seq || seq == a.log.seq && head == a.log.head {
		return nil
	}
	return a.append(auditCut, &Entry{Records: seq, Head: head.String(), Detail: fmt.Sprintf("the log ends at record %d but was at record %d before", a.log.seq, seq)})
}

// append writes a record and notes the new head. It is called with the lock held.
func (a *Audit) append(kind string, e *Entry) error {
	if err := a.log.append(time.Now(), kind, e); err != nil {
		return err
	}
	if err := a.log.sync(); err != nil {
		return err
	}
	// The head is written after the log is on the disk, so it is never ahead of it.
	v := binary.LittleEndian.AppendUint64(nil, a.log.seq)
	if err := a.slot.Write(append(v, a.log.head[:]...)); err != nil {
		return err
	}
	if a.log.size < auditBytes {
		return nil
	}
	if err := os.Rename(a.path(), filepath.Join(a.dir, fmt.Sprintf("audit-%012d.jsonl", a.log.seq))); err != nil {
		return err
	}
	return a.load()
}

func parseHead(v []byte) (seq uint64, head digest, ok bool) {
	if len(v) != 8+len(head) {
		return 0, head, false
	}
	copy(head[:], v[8:])
	return binary.LittleEndian.Uint64(v), head, true
}

// archives returns the full files of the log, oldest first.
func (a *Audit) archives() ([]string, error) { return auditArchives(a.dir) }

func auditArchives(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	slices.Sort(paths)
	return paths, err
}
