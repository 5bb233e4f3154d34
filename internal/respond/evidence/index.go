package evidence

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"rollcage/internal/detect/rule"
)

// index is an SQLite database of summaries. Everything in it is in the files
// of the incidents too: it is brought up to date from them when it is opened.
type index struct {
	db  *sql.DB
	dir string
	log *slog.Logger
}

const (
	indexName    = "index.sqlite"
	indexVersion = 2
)

const schema = `
CREATE TABLE incidents (
	id TEXT PRIMARY KEY, host TEXT, first INTEGER, last INTEGER, container TEXT, name TEXT, image TEXT, priority INTEGER,
	rules TEXT, alerts INTEGER, captures INTEGER, actions INTEGER, failed INTEGER, open INTEGER, bytes INTEGER,
	records INTEGER, size INTEGER, continues TEXT, origin TEXT, part INTEGER, next TEXT
) STRICT;
CREATE INDEX incidents_last ON incidents (last);
PRAGMA user_version = 2;
`

// openIndex opens the index in a folder and brings it up to date. One that
// cannot be read is made anew.
func openIndex(dir string, log *slog.Logger) (*index, error) {
	x := &index{dir: dir, log: log}
	err := x.open()
	if err != nil {
		log.Warn("evidence: the index is made anew", "error", err)
		if err := errors.Join(x.close(), x.remove()); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		err = x.open()
	}
	if err == nil {
		_, err = x.update()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("index: %w", err), x.close())
	}
	return x, nil
}

func (x *index) path() string { return filepath.Join(x.dir, indexName) }

func (x *index) open() error {
	// SQLite gives its other files the mode of the first.
	f, err := os.OpenFile(x.path(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	name := "file:" + (&url.URL{Path: x.path()}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	if x.db, err = sql.Open("sqlite", name); err != nil {
		return err
	}
	x.db.SetMaxOpenConns(1)
	var version int
	if err := x.db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version == 0 {
		_, err := x.db.Exec("BEGIN IMMEDIATE;" + schema + "COMMIT;")
		return err
	}
	if version != indexVersion {
		return fmt.Errorf("version %d is not known", version)
	}
	var check string
	if err := x.db.QueryRow("PRAGMA quick_check(1)").Scan(&check); err != nil {
		return err
	}
	if check != "ok" {
		return errors.New(check)
	}
	return nil
}

func (x *index) close() error {
	if x.db == nil {
		return nil
	}
	err := x.db.Close()
	x.db = nil
	return err
}

func (x *index) remove() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(x.path() + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// update reads again the incidents whose records are not as long as the index
// says, and forgets those that are gone. It returns how many it read.
func (x *index) update() (read int, err error) {
	sizes := map[string]int64{}
	rows, err := x.db.Query("SELECT id, size FROM incidents")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var size int64
		if err := rows.Scan(&id, &size); err != nil {
			return 0, err
		}
		sizes[id] = size
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	ids, err := incidentIDs(x.dir)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		info, err := os.Stat(filepath.Join(incidentDir(x.dir, id), recordsName))
		size, known := sizes[id]
		delete(sizes, id)
		if err != nil || known && info.Size() == size {
			continue // a folder without records is for Verify to find
		}
		s, err := ReadIncident(x.dir, id, nil)
		if err != nil && !errors.Is(err, errTorn) {
			x.log.Error("evidence: an incident cannot be read to its end; 'rollcage evidence verify' tells more", "incident", id, "error", err)
		}
		s.Size = info.Size()
		if err := x.put(s); err != nil {
			return read, err
		}
		read++
	}
	for id := range sizes {
		if err := x.drop(id); err != nil {
			return read, err
		}
	}
	return read, nil
}

// incidentIDs returns the names of the incidents that are there, oldest first.
func incidentIDs(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, incidentsDir))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && idPattern.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

func (x *index) put(s *Summary) error {
	rules, err := json.Marshal(s.Rules)
	if err != nil {
		return err
	}
	_, err = x.db.Exec("INSERT OR REPLACE INTO incidents VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		s.ID, s.Host, s.First.UnixNano(), s.Last.UnixNano(), s.Container, s.Name, s.Image, int(s.Priority), string(rules),
		s.Alerts, s.Captures, s.Actions, s.Failed, s.Open, s.Bytes, int64(s.Records), s.Size,
		s.Continues, s.Origin, s.Part, s.Next)
	return err
}

func (x *index) drop(id string) error {
	_, err := x.db.Exec("DELETE FROM incidents WHERE id = ?", id)
	return err
}

// Filter says which incidents are wanted; what is empty does not matter.
type Filter struct {
	Since, Until time.Time // of the last alert
	Container    string    // id or name
	Image        string    // a part of it
	Rule         string
	Priority     *rule.Priority // at least as bad
	Open         bool           // only those that go on
	Limit        int
}

// list returns the incidents that fit, the newest first.
func (x *index) list(f Filter) ([]*Summary, error) {
	where, args := []string{"1"}, []any{}
	add := func(cond string, values ...any) {
		where, args = append(where, cond), append(args, values...)
	}
	if !f.Since.IsZero() {
		add("last >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		add("first <= ?", f.Until.UnixNano())
	}
	if f.Container != "" {
		add("(container = ? OR name = ?)", f.Container[:min(12, len(f.Container))], f.Container)
	}
	if f.Image != "" {
		add("instr(image, ?)", f.Image)
	}
	if f.Rule != "" {
		add("EXISTS (SELECT 1 FROM json_each(rules) WHERE value = ?)", f.Rule)
	}
	if f.Priority != nil {
		add("priority <= ?", int(*f.Priority))
	}
	if f.Open {
		add("open")
	}
	query := "SELECT * FROM incidents WHERE " + strings.Join(where, " AND ") + " ORDER BY last DESC, id DESC"
	if f.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, f.Limit)
	}
	rows, err := x.db.Query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	defer rows.Close()
	list := []*Summary{}
	for rows.Next() {
		s, err := scanSummary(rows)
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

func scanSummary(rows *sql.Rows) (*Summary, error) {
	var s Summary
	var first, last, records int64
	var priority int
	var rules string
	if err := rows.Scan(&s.ID, &s.Host, &first, &last, &s.Container, &s.Name, &s.Image, &priority, &rules,
		&s.Alerts, &s.Captures, &s.Actions, &s.Failed, &s.Open, &s.Bytes, &records, &s.Size,
		&s.Continues, &s.Origin, &s.Part, &s.Next); err != nil {
		return nil, err
	}
	s.First, s.Last = time.Unix(0, first), time.Unix(0, last)
	s.Priority, s.Records = rule.Priority(priority), uint64(records)
	s.Worst = s.Priority.String()
	return &s, json.Unmarshal([]byte(rules), &s.Rules)
}

// Index opens the index in the folder of a store, which may be in use, and
// brings it up to date. anew makes it again from nothing.
func Index(dir string, anew bool, log *slog.Logger) (list func(Filter) ([]*Summary, error), done func() error, err error) {
	if _, err := os.Stat(filepath.Join(dir, incidentsDir)); err != nil {
		return nil, nil, fmt.Errorf("evidence: %w", err)
	}
	if anew {
		if err := (&index{dir: dir}).remove(); err != nil {
			return nil, nil, fmt.Errorf("evidence: %w", err)
		}
	}
	x, err := openIndex(dir, log)
	if err != nil {
		return nil, nil, fmt.Errorf("evidence: %w", err)
	}
	return x.list, x.close, nil
}
