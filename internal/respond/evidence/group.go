package evidence

import (
	"encoding/json"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/disk"
	"rollcage/internal/respond/scene"
)

// incident is one that alerts may still belong to.
type incident struct {
	id, dir  string
	log      *chain
	sum      *Summary
	root     *scene.Key           // where the process tree begins, nil if not known
	known    map[scene.Key]uint64 // processes that are recorded, and as what
	actors   map[scene.Key]bool   // processes that alerts were about
	touched  time.Time            // when the last alert came, by a clock that nobody sets
	anchored uint64               // records that the audit log knows of
	opened   Opened
}

// maxActors bounds the processes that an incident remembers.
const maxActors = 4096

func createIncident(dir, id string) (*incident, error) {
	in := &incident{id: id, dir: incidentDir(dir, beginningPrefix+id), sum: &Summary{}, known: map[scene.Key]uint64{}, actors: map[scene.Key]bool{}}
	if err := os.Mkdir(in.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if in.log, err = openChain(filepath.Join(in.dir, recordsName), incidentSeed(id), nil); err != nil {
		return nil, err
	}
	return in, nil
}

// beginningPrefix begins the name of an incident's folder until the audit log knows the incident.
const beginningPrefix = ".beginning-"

// settle gives a new incident its name.
func (in *incident) settle(dir string) error {
	final := incidentDir(dir, in.id)
	if err := os.Rename(in.dir, final); err != nil {
		return err
	}
	in.dir = final
	return disk.SyncDir(filepath.Dir(final))
}

// finishBeginnings gives incidents their names that a crash kept from it.
func (s *Store) finishBeginnings() error {
	paths, err := filepath.Glob(filepath.Join(s.dir, incidentsDir, beginningPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		id := strings.TrimPrefix(filepath.Base(path), beginningPrefix)
		c, err := readChain(filepath.Join(path, recordsName), incidentSeed(id), func(*Record, digest) error { return nil })
		if err != nil || c.seq == 0 { // not begun
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		if err := s.audit.Append(auditOpened, &Entry{Incident: id, Records: c.seq, Head: c.head.String()}); err != nil {
			return err
		}
		if err := (&incident{id: id, dir: path}).settle(s.dir); err != nil {
			return err
		}
	}
	return nil
}

// opening says how an incident begins that an alert is the first of.
func opening(a *alert.Alert, sc *scene.Scene) Opened {
	o := Opened{Version: 1, Host: a.Hostname}
	if sc != nil {
		o.Container = sc.Container
		if tree := sc.Tree(); len(tree) > 0 {
			o.Root = &tree[len(tree)-1]
		}
	} else if id := containerField(a); id != "" {
		o.Container = &scene.Container{ID: id}
	}
	return o
}

// start writes the first record.
func (in *incident) start(o Opened) error {
	o.Incident = in.id
	if err := in.append(KindOpened, &o); err != nil {
		return err
	}
	if err := in.log.sync(); err != nil {
		return err
	}
	return disk.SyncDir(in.dir)
}

// containerField returns the container's id as the alert itself says it, "" on the host.
func containerField(a *alert.Alert) string {
	var id string
	if json.Unmarshal(a.Value("container.id"), &id) != nil || id == "host" {
		return ""
	}
	return id
}

// append writes a record and learns from it as from one that is read.
func (in *incident) append(kind string, data any) error {
	if err := in.log.append(time.Now(), kind, data); err != nil {
		return err
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return in.replay(&Record{in.log.seq, time.Now().UTC(), kind, raw})
}

// replay learns from a record.
func (in *incident) replay(r *Record) error {
	if err := in.sum.apply(r); err != nil {
		return err
	}
	switch r.Kind {
	case KindOpened:
		var o Opened
		if err := json.Unmarshal(r.Data, &o); err != nil {
			return err
		}
		in.opened = o
		if o.Root != nil {
			key := o.Root.Key()
			in.root = &key
		}
	case KindProcess:
		var p scene.Process
		if err := json.Unmarshal(r.Data, &p); err != nil {
			return err
		}
		in.known[p.Key()] = image(&p)
	case KindAlert:
		var a AlertRecord
		if err := json.Unmarshal(r.Data, &a); err != nil {
			return err
		}
		if a.Process != nil && len(in.actors) < maxActors {
			in.actors[*a.Process] = true
		}
	}
	return nil
}

// takes reports whether an alert belongs to the incident: it comes soon after
// the last one, from the same container and process tree. What descends from a
// process that an alert was about belongs to it in any case, also when it left the session.
func (in *incident) takes(a *alert.Alert, sc *scene.Scene, window time.Duration) bool {
	if gap := a.Time.Sub(in.sum.Last); gap > window || gap < -window {
		return false
	}
	if sc == nil || len(sc.Processes) == 0 {
		id := containerField(a)
		if sc != nil {
			id = sc.ContainerID()
		}
		return id == in.sum.Container && (id != "" || in.root == nil)
	}
	if sc.ContainerID() != in.sum.Container {
		return false
	}
	tree := sc.Tree()
	if in.root != nil && tree[len(tree)-1].Key() == *in.root {
		return true
	}
	for i := range sc.Processes {
		if in.actors[sc.Processes[i].Key()] {
			return true
		}
	}
	return false
}

// add writes an alert and the processes that were not known yet.
func (in *incident) add(a *alert.Alert, sc *scene.Scene) error {
	in.touched = time.Now()
	r := AlertRecord{Alert: alert.AppendRecord(nil, a)}
	if sc != nil {
		r.Boot = sc.Boot
		for i := range sc.Processes {
			p := &sc.Processes[i]
			if in.known[p.Key()] == image(p) {
				continue
			}
			if err := in.append(KindProcess, p); err != nil {
				return err
			}
		}
		if p := sc.Process(); p != nil {
			key := p.Key()
			r.Process = &key
		}
	}
	return in.append(KindAlert, &r)
}

// image tells what a process runs from what it ran before an exec.
func image(p *scene.Process) uint64 {
	h := fnv.New64a()
	for _, s := range append([]string{p.Name, p.Exe}, p.Args...) {
		io.WriteString(h, s)
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// summary returns a copy of the summary.
func (in *incident) summary() *Summary {
	s := *in.sum
	s.Rules = append([]string(nil), s.Rules...)
	s.Size = in.log.size
	s.Bytes += in.log.size
	return &s
}
