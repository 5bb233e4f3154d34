package blackbox

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
)

// secret runs a shell that opens a file, waits to be told, and then reads it.
func secret(t *testing.T, path string) (readIt func()) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `exec 7<"$0"; read go; cat <&7; exit 3`, path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_, _ = fmt.Fprintln(in)
		_ = cmd.Wait()
		if !strings.Contains(out.String(), "hunter2") {
			t.Errorf("the shell read %q", out.String())
		}
	}
}

// record runs act under a recorder and returns the capture of the time from when mark was called.
func record(t *testing.T, act func(mark func(), learn func(*event.Event))) (string, Report) {
	t.Helper()
	if err := probe.Supported(); err != nil {
		t.Skip(err)
	}
	var in event.Interest
	in.AddSyscalls("read", "write")
	p, err := probe.Open(probe.Options{Box: &probe.BoxOptions{Interest: in, Snaplens: probe.BoxSnaplens{File: 1000, Pipe: 1000}}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := host.NewStream(p, true)
	if err != nil {
		t.Fatal(err)
	}
	var r *Recorder
	loaded := make(chan struct{})
	st.Loaded = func() error {
		r = New(p.BlackBox(), st.State, Options{})
		close(loaded)
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	facts := make(chan *event.Event, 1)
	go func() {
		ended <- st.Run(ctx, func(he *host.Event) error {
			r.Note(he)
			select {
			case ev := <-facts:
				var fact host.Event
				st.State.Apply(ev, &fact)
				r.Note(&fact)
			default:
			}
			return nil
		}, nil)
	}()
	<-loaded
	var from uint64
	act(func() { from = uint64(time.Now().UnixNano()) }, func(ev *event.Event) {
		facts <- ev
		for len(facts) > 0 {
			_ = exec.Command("true").Run() // events, so that the handler runs
		}
		_ = exec.Command("true").Run()
	})
	path := filepath.Join(t.TempDir(), "box.scap")
	report, err := r.Write(path, from, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return path, report
}

func TestACaptureOutOfTheBoxKnowsWhatWasOpenBeforeItBegan(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, report := record(t, func(mark func(), _ func(*event.Event)) {
		readIt := secret(t, file)
		time.Sleep(500 * time.Millisecond) // the file is open, and the recorder has been told
		mark()
		readIt()
	})
	if report.Events == 0 || report.From >= report.Until {
		t.Fatalf("%+v", report)
	}
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := host.NewStream(src, false)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	if err := st.Run(context.Background(), func(he *host.Event) error {
		if he.Type() == event.SYSCALL_READ_X && bytes.Contains(he.Param(1), []byte("hunter2")) && he.FD != nil {
			found = he.FD.Name == file && he.Thread.Comm == "cat"
			t.Logf("%s read %s: %q", he.Thread.Comm, he.FD.Name, he.Param(1))
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Error("the capture does not say that cat read the file")
	}
	sysdigReads(t, path, file)
}

// A container that was started after the beginning has its name in the whole capture, though its runtime told it later.
func TestACaptureOutOfTheBoxNamesContainersThatBecameKnownMeanwhile(t *testing.T) {
	const facts = `{"container":{"id":"0123456789ab","full_id":"0123456789ab","name":"shop","image":"shop:1","type":0}}`
	path, _ := record(t, func(mark func(), learn func(*event.Event)) {
		mark()
		_ = exec.Command("true").Run()
		b, err := event.Append(nil, uint64(time.Now().UnixNano()), -1, event.CONTAINER_JSON_2_E, facts)
		if err != nil {
			t.Fatal(err)
		}
		ev := new(event.Event)
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		learn(ev)
	})
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := host.NewStream(src, false)
	if err != nil {
		t.Fatal(err)
	}
	told := false
	if err := st.Run(context.Background(), func(*host.Event) error {
		if c := st.State.Container("0123456789ab"); c != nil {
			told = c.Name == "shop"
		}
		return host.ErrStop
	}, nil); err != nil {
		t.Fatal(err)
	}
	if !told {
		t.Error("at the first event of the capture the container's name is not known")
	}
}

// sysdigReads checks that sysdig says the same, where it is at hand.
func sysdigReads(t *testing.T, path, file string) {
	program := cmp.Or(os.Getenv("ROLLCAGE_TEST_SYSDIG"), "../../../.cache/sysdig-sid/sysdig")
	if _, err := os.Stat(program); err != nil {
		t.Log("without sysdig")
		return
	}
	out, err := exec.Command(program, "-r", path, "-p", "%proc.name %fd.name %evt.arg.data", "evt.type=read and proc.name=cat and evt.buffer contains hunter2").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "cat "+file+" hunter2") {
		t.Errorf("sysdig says %v:\n%s", err, out)
	}
}
