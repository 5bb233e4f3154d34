package chisel

import (
	"bytes"
	"encoding/json"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

func TestTheOverviewOfACaptureIsJSON(t *testing.T) {
	var out bytes.Buffer
	c := Lookup("wsysdig_summary")
	args, err := c.Parse("2")
	if err != nil {
		t.Fatal(err)
	}
	run, err := c.New(&Env{Out: &out}, args)
	if err != nil {
		t.Fatal(err)
	}
	state := host.New(host.Options{})
	state.Load(&event.Snapshot{})
	var ev event.Event
	var he host.Event
	for i := range uint64(4) {
		b, err := event.Append(nil, 1000+i, 7, event.SYSCALL_CHDIR_X, 0, "/")
		if err != nil || ev.Reset(b) != nil {
			t.Fatal(err)
		}
		state.Apply(&ev, &he)
		if err := run.Event(&he); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.End(Moment{}, state); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Slices []struct {
			Data struct {
				Metrics []struct {
					Name string
					Data struct{ Tot float64 }
				}
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	for _, m := range doc.Slices[1].Data.Metrics {
		if m.Name == "System Calls" && m.Data.Tot == 4 {
			return
		}
	}
	t.Errorf("no 4 system calls in %s", &out)
	if _, err := c.New(&Env{Out: &out}, Values{"sample_count": "0"}); err == nil {
		t.Error("0 samples are no error")
	}
}
