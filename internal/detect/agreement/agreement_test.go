package agreement

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// release is a sysdig that we agree with.
type release struct {
	name     string // as in docs/compatibility.md
	program  string // environment variable that says where it is
	fallback string // where tools/sysdig.sh puts it
	absent   []string
	// today turns what it shows into what it would show of the same events in
	// today's form. It may be nil.
	today func(list []record) []record
	// split takes the text of all parameters apart, to compare them one by one
	// and only those that it shows. It may be nil.
	split func(r record, text string) map[string]string
	meant []difference
}

var releases = []release{
	{
		name: "0.41", program: "ROLLCAGE_TEST_SYSDIG", fallback: "../../../.cache/sysdig-sid/sysdig",
		absent: []string{"container.id", "container.name", "container.image"},
		meant:  differences041,
	},
	{
		name: "0.29", program: "ROLLCAGE_TEST_SYSDIG_OLD", fallback: "../../../.cache/sysdig-bookworm/sysdig",
		// It counts enter events, lacks some fields and fills others with chance.
		absent: []string{"evt.num", "syscall.type", "evt.category", "evt.is_io", "evt.io_dir", "evt.buflen", "evt.res", "evt.rawres",
			"user.loginuid", "group.gid", "thread.cap_effective", "fd.l4proto", "fd.cip", "fd.sip", "fd.cport", "fd.sport"},
		today: withoutEnters, split: parameters,
		meant: differences029,
	},
}

func (r *release) find(t *testing.T) string {
	t.Helper()
	path := cmp.Or(os.Getenv(r.program), r.fallback)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no second opinion: tools/sysdig.sh brings it: ", err)
	}
	return path
}

// captures returns the captures that others recorded.
func captures(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cmp.Or(os.Getenv("ROLLCAGE_CAPTURES"), "../../../../shared/captures"), "*.scap"))
	if err != nil || len(files) == 0 {
		t.Skip("no captures; ROLLCAGE_CAPTURES says where they are")
	}
	return files
}

func TestEveryEventAgreesWithSysdig(t *testing.T) {
	for i := range releases {
		rel := &releases[i]
		t.Run(rel.name, func(t *testing.T) {
			program := rel.find(t)
			counts := map[string]int{}
			var read []string
			for _, path := range captures(t) {
				t.Run(filepath.Base(path), func(t *testing.T) {
					read = append(read, filepath.Base(path))
					theirs := sysdigRecords(t, program, path, rel.absent)
					if rel.today != nil {
						theirs = rel.today(theirs)
					}
					rel.compare(t, ourRecords(t, path), theirs, counts)
				})
			}
			switch {
			case t.Failed():
			case slices.Equal(read, known):
				rel.checkDocumented(t, counts)
			default:
				t.Log("other captures than those that docs/compatibility.md counts in: numbers not checked")
			}
		})
	}
}

// compare compares all events in order and counts for each difference that is
// meant the events that have it.
func (r *release) compare(t *testing.T, ours, theirs []record, counts map[string]int) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Errorf("%d events here, %d there", len(ours), len(theirs))
	}
	unexplained := map[[2]string][]string{} // by field and type of event
	for i := range min(len(ours), len(theirs)) {
		p := &pair{ours: ours[i], theirs: theirs[i]}
		found := map[string]bool{}
		for _, d := range r.differ(p) {
			if why := r.explain(p, d); why != "" {
				found[why] = true
				continue
			}
			kind := [2]string{d.field, p.ours.get("evt.type")}
			unexplained[kind] = append(unexplained[kind], fmt.Sprintf("event %s of %s has\n%q here,\n%q there",
				p.ours.get("evt.num"), p.ours.get("proc.name"), d.ours, d.theirs))
		}
		for name := range found {
			counts[name]++
		}
	}
	for kind, events := range unexplained {
		t.Errorf("%s differs in %d events %s: %s", kind[0], len(events), kind[1], events[0])
	}
}

// pair is an event as both show it.
type pair struct{ ours, theirs record }

// unlike is a field, or a part of it, of which the two show something else.
type unlike struct{ field, ours, theirs string }

func (r *release) differ(p *pair) (list []unlike) {
	for i, name := range fields {
		ours, theirs := p.ours[i], p.theirs[i]
		if ours == theirs || slices.Contains(r.absent, name) {
			continue
		}
		if r.split == nil || name != "evt.args" {
			list = append(list, unlike{name, ours, theirs})
			continue
		}
		here, there := r.split(p.ours, ours), r.split(p.ours, theirs)
		for param, text := range there {
			if here[param] != text {
				list = append(list, unlike{"evt.arg." + param, here[param], text})
			}
		}
	}
	return list
}

// explain returns the name of the difference that is meant to be, or "".
func (r *release) explain(p *pair, d unlike) string {
	for i := range r.meant {
		if m := &r.meant[i]; slices.Contains(strings.Fields(m.fields), d.field) && m.here(p, d.ours, d.theirs) {
			return m.name
		}
	}
	return ""
}

// known are the captures that docs/compatibility.md counts differences in.
var known = []string{
	"502Error.scap", "cat_write.scap", "curl_google.scap", "docker-curl-https.scap", "empty.scap", "empty_old.scap",
	"open-multiple-files.scap", "ping_sendto.scap", "psp_run_as_user_0_container.scap",
}

// checkDocumented checks that the table in docs/compatibility.md lists the
// differences and how many events of the known captures have them.
func (r *release) checkDocumented(t *testing.T, counts map[string]int) {
	t.Helper()
	documented := documentedCounts(t, r.name)
	for i := range r.meant {
		name := r.meant[i].name
		want, ok := documented[name]
		if got := fmt.Sprint(counts[name]); !ok || want != got {
			t.Errorf("%q: %s events, docs/compatibility.md says %q", name, got, want)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%q is in docs/compatibility.md, but not in the test", name)
	}
}

// documentedCounts reads the table of docs/compatibility.md: in each row the
// name of a difference, the releases that have it with the number of events,
// and the reason.
func documentedCounts(t *testing.T, release string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]string{}
	column := -1
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[0] == "difference":
			column = slices.Index(cells, release)
		case len(cells) < 3:
			column = -1
		case column > 0 && cells[column] != "" && !strings.HasPrefix(cells[0], "-"):
			counts[cells[0]] = cells[column]
		}
	}
	return counts
}
