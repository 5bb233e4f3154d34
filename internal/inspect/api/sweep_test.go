package api

import (
	"context"
	"net/url"
	"testing"

	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
)

func TestAListHasWhatOneScanFindsWhateverTheFactsTell(t *testing.T) {
	v := newVisitor(t, write(t, 2000))
	r := v.s.captures[0].Recording
	i := r.Info()
	third := (i.End - i.Start) / 3
	for _, w := range []recording.Window{recording.All, {From: i.Start + third}, {To: i.End - third}, {From: i.Start + third, To: i.End - third}, {From: i.Start + 5, To: i.Start + 900}} {
		for _, text := range []string{"", "evt.type=write", "proc.name=bash", "proc.name=nobody", "evt.failed=true", "fd.name contains pts", "fd.name contains none or evt.type=read", "container.id!=host"} {
			want := uint64(0)
			c, err := newCondition(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Scan(context.Background(), w, recording.Visitor{Event: func(he *host.Event) error {
				if c.fits(he) {
					want++
				}
				return nil
			}}); err != nil {
				t.Fatal(err)
			}
			q := url.Values{"filter": {text}, "from": {uitoa(w.From)}, "to": {uitoa(w.To)}, "limit": {"5"}}
			var page eventPage
			v.ask("/events", q, &page)
			if page.Total != want || !page.Done || len(page.Events) != min(5, int(want)) {
				t.Errorf("%q in %+v: %d events, %d lines; a scan finds %d", text, w, page.Total, len(page.Events), want)
			}
			if want > 3 {
				q.Set("offset", uitoa(want-3))
				if v.ask("/events", q, &page); len(page.Events) != 3 {
					t.Errorf("%q in %+v: %d lines at the end", text, w, len(page.Events))
				}
			}
		}
	}
}
