package recording

import (
	"context"
	"testing"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/host"
)

// foreseen are conditions of which the facts tell all, something, or nothing.
var foreseen = []string{
	"evt.type=read", "evt.type in (open, openat, connect) and evt.failed=true", "not evt.failed=true", "evt.failed exists",
	"proc.name=haproxy", "proc.name contains a or user.name=root", "not proc.name startswith h", "proc.name in (curl, cat, bash) and evt.type=write",
	"container.id!=host", "container.id=host and evt.failed=false", "proc.pname exists", "container.name=nope", "proc.exepath endswith sh",
	"fd.name contains /etc", "evt.type=read and fd.name contains /etc", "proc.name=nobody and fd.name contains /etc", "evt.is_io=true", "proc.pid=1",
	"evt.res=ENOENT or evt.type=close", "proc.name regex '^[a-m]'", "proc.aname=bash and evt.type=execve", "toupper(proc.name)=CAT",
}

func TestFactsTellHowManyEventsOfAStretchAConditionFits(t *testing.T) {
	for _, name := range []string{"502Error.scap", "psp_run_as_user_0_container.scap", "docker-curl-https.scap", "curl_google.scap", "cat_write.scap"} {
		t.Run(name, func(t *testing.T) {
			path := copyOf(t, name)
			for _, opt := range []Options{{Spacing: 100}, {}} { // made, then read from the index, if it is kept
				r := open(t, path, opt)
				decided := 0
				for _, text := range foreseen {
					decided += checkForesight(t, r, text)
				}
				if decided < 10 {
					t.Errorf("the facts decide only %d conditions", decided)
				}
			}
		})
	}
}

// checkForesight compares what is foreseen with what is there, and returns 1 if all was decided.
func checkForesight(t *testing.T, r *Recording, text string) int {
	t.Helper()
	n, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p := filter.NewProgram()
	id, _, err := p.Add(n)
	if err != nil {
		t.Fatal(err)
	}
	stretches := r.Stretches()
	counts := make([]uint64, len(stretches))
	at := 0
	if err := r.Scan(context.Background(), All, Visitor{Event: func(he *host.Event) error {
		for at+1 < len(stretches) && he.Num >= stretches[at+1].First {
			at++
		}
		if p.Eval(id, he) {
			counts[at]++
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	decided := 1
	for i, f := range r.Foresee(p, id) {
		if f.Known && f.N != counts[i] || f.N < counts[i] {
			t.Errorf("%s: %d events in stretch %d of %d, foreseen %+v", text, counts[i], i, len(counts), f)
		}
		if !f.Known {
			decided = 0
		}
	}
	return decided
}

func TestKindsOfStretchesThatAreJoinedAddUp(t *testing.T) {
	path := busyCapture(t, "busy.scap", 60_000)
	r := open(t, path, Options{Spacing: 100, NoIndex: true}) // 600 checkpoints become fewer than 97
	var n uint64
	for _, p := range r.points {
		for _, k := range p.Kinds {
			n += k.N
		}
	}
	for _, k := range r.rest {
		n += k.N
	}
	if n != 60_000 {
		t.Errorf("the kinds have %d events", n)
	}
}
