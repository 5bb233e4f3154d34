// Package agreement has no code but a test: it reads captures that others
// recorded through the whole pipeline, up to the text of fields, and compares
// each event with what two releases of sysdig show for it. The differences that
// are meant to be stand in docs/compatibility.md, with their number.
package agreement

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// fields are what is shown and compared of each event.
var fields = []string{
	"evt.num", "evt.rawtime", "thread.tid", "evt.dir", "evt.type", "evt.cpu", "syscall.type", "evt.category", "evt.is_io",
	"evt.io_dir", "evt.buflen", "evt.res", "evt.rawres", "evt.args",
	"proc.pid", "proc.name", "proc.exe", "proc.exepath", "proc.args", "proc.cmdline", "proc.cwd", "proc.tty", "proc.pname",
	"user.uid", "user.name", "user.loginuid", "group.gid", "group.name", "thread.cap_effective",
	"fd.num", "fd.type", "fd.typechar", "fd.name", "fd.filename", "fd.l4proto", "fd.cip", "fd.sip", "fd.cport", "fd.sport",
	"container.id", "container.name", "container.image",
}

// missing is the text of a field that has no value.
const missing = "<NA>"

// record is what is shown of an event, in the order of fields.
type record []string

// get returns the text of one of the fields.
func (r record) get(name string) string { return r[slices.Index(fields, name)] }

// set replaces the text of one of the fields.
func (r record) set(name, text string) { r[slices.Index(fields, name)] = text }

// Separators that no text has in it, as control characters are not printed.
const (
	fieldEnd  = "\x1f"
	recordEnd = "\x1e"
)

// limit is the number of bytes of I/O data that sysdig prints.
const limit = 80

// sysdigRecords returns what a sysdig prints, also of internal events; fields
// that it does not know are empty.
func sysdigRecords(t *testing.T, sysdig, path string, absent []string) []record {
	t.Helper()
	format := "*"
	for i, f := range fields {
		if i > 0 {
			format += fieldEnd
		}
		if !slices.Contains(absent, f) {
			format += "%" + f
		}
	}
	cmd := exec.Command(sysdig, "-D", "-r", path, "-p", format+recordEnd)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		text := messages.String()
		if strings.Contains(text, "wrong fd type") {
			t.Skip("this sysdig does not know the descriptor types of the capture")
		}
		t.Fatalf("%s does not read %s: %v: %s", sysdig, path, err, text[max(0, len(text)-200):])
	}
	var list []record
	for line := range strings.SplitSeq(string(out), recordEnd) {
		if r := record(strings.Split(strings.TrimPrefix(line, "\n"), fieldEnd)); len(r) == len(fields) {
			list = append(list, r)
		}
	}
	return list
}

// ourRecords returns what we print.
func ourRecords(t *testing.T, path string) []record {
	t.Helper()
	var readers []*field.Field
	for _, name := range fields {
		f, err := field.Parse(name, "", false)
		if err != nil {
			t.Fatal(err)
		}
		f.Style = &field.Style{Limit: limit}
		readers = append(readers, f)
	}
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	state := host.New(host.Options{})
	state.Load(src.Snapshot())
	var ev event.Event
	var he host.Event
	var list []record
	for {
		switch err := src.Next(&ev); {
		case err == nil:
		case errors.Is(err, event.ErrSection):
			state.Load(src.Snapshot())
			continue
		case errors.Is(err, io.EOF):
			return list
		default:
			t.Fatal(err)
		}
		if state.Apply(&ev, &he); !ev.Hidden {
			list = append(list, show(readers, &he))
		}
	}
}

func show(readers []*field.Field, he *host.Event) record {
	r := make(record, 0, len(readers))
	var v field.Value
	for _, f := range readers {
		text := missing
		if f.Read(he, &v) {
			text = string(field.AppendText(nil, f, &v))
		}
		r = append(r, text)
	}
	return r
}
