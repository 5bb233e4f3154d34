package filter

import (
	"strings"
	"testing"

	"rollcage/internal/detect/field"
)

func TestFormatFields(t *testing.T) {
	h := &fakeHost{values: map[string]string{
		"proc.name": "a\"b", "fd.num": "3", "fd.types": "file,ipv4", "fd.connected": "true", "proc.aname[2]": "sshd",
	}}
	f, err := h.schema().ParseFormat("*%proc.name %fd.num %proc.aname[2] %tolower(proc.pname) %proc.name " +
		"%fd.types %fd.connected %fd.sip %5fd.num %len(proc.name)")
	if err != nil {
		t.Fatal(err)
	}
	e := fakeEvent("open", 1)
	var got []string
	for _, ff := range f.Fields() {
		text, ok := ff.AppendText(nil, e)
		if !ok {
			text = []byte("missing")
		}
		got = append(got, ff.Name+" "+string(ff.AppendJSON(nil, e))+" "+string(text))
	}
	want := []string{
		`proc.name "a\"b" a"b`, `fd.num 3 3`, `proc.aname[2] "sshd" sshd`, `fd.types ["file","ipv4"] (file,ipv4)`,
		`fd.connected true true`, `fd.sip null missing`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	before := h.reads
	f.AppendText(nil, e)
	if h.reads != before+1 { // proc.pname, inside of the transformer
		t.Errorf("%d reads more for the text of the same event, want 1", h.reads-before)
	}
	if f.String() != "*%proc.name %fd.num %proc.aname[2] %tolower(proc.pname) %proc.name "+
		"%fd.types %fd.connected %fd.sip %5fd.num %len(proc.name)" {
		t.Errorf("String gives %s", f)
	}
}

func TestFormatLeavesTheBufferAloneWhenItGivesNothing(t *testing.T) {
	h := &fakeHost{values: map[string]string{"proc.name": "bash"}}
	f, err := h.schema().ParseFormat("%proc.name %fd.name")
	if err != nil {
		t.Fatal(err)
	}
	b, ok := f.AppendText([]byte("before"), fakeEvent("open", 1))
	if ok || string(b) != "before" {
		t.Errorf("got %q, %v", b, ok)
	}
}

func TestFormatStyle(t *testing.T) {
	h := &fakeHost{values: map[string]string{"evt.buffer": "aQA="}}
	for _, tt := range []struct {
		name, format, want string
		style              *field.Style
	}{
		{"a buffer by default", "%evt.buffer", "aQA=", nil},
		{"a buffer in base64", "%evt.buffer", "YVFBPQ==", &field.Style{Buffer: field.BufferBase64}},
		{"a transformer by default", "%b64(evt.buffer)", "i.", nil},
		{"a transformer in base64", "%b64(evt.buffer)", "aQA=", &field.Style{Buffer: field.BufferBase64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := h.schema().ParseFormat(tt.format)
			if err != nil {
				t.Fatal(err)
			}
			if tt.style != nil {
				f.SetStyle(tt.style)
			}
			if b, ok := f.AppendText(nil, fakeEvent("open", 1)); !ok || string(b) != tt.want {
				t.Errorf("got %q, want %q", b, tt.want)
			}
		})
	}
}

func TestFormatErrorsHavePosition(t *testing.T) {
	for text, index := range map[string]int{
		"a %proc.name b %": 16, "%no.such": 1, "x%tolower(no.such)": 10, "%8evt.arg": 2, "a %9999fd.num": 3,
	} {
		_, err := (&fakeHost{}).schema().ParseFormat(text)
		e, ok := err.(*Error)
		if !ok || e.Index != index {
			t.Errorf("%s: got %v, want index %d", text, err, index)
		}
	}
}
