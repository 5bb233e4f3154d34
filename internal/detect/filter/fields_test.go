package filter

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

var updateFields = flag.Bool("update-fields", false, "write testdata/fields.golden")

// fieldProperties are the words of testdata/fields.golden.
var fieldProperties = []struct {
	flag field.Flags
	word string
}{
	{field.List, "list"}, {field.FilterOnly, "filter_only"}, {field.PrintOnly, "print_only"}, {field.Hidden, "hidden"},
	{field.NoTransformer, "no_transformer"}, {field.NoRHS, "no_rhs"}, {field.Deprecated, "deprecated"},
	{field.Suggested, "suggested"}, {field.Unstable, "unstable"},
}

// testdata/fields.golden lists every field with type, argument and properties.
func TestFieldsAreTheOnesOfTheGoldenFile(t *testing.T) {
	var b strings.Builder
	for _, d := range field.All() {
		fmt.Fprintf(&b, "%s %s", d.Name, d.Type)
		for _, k := range []struct {
			kind field.ArgKind
			form string
		}{{field.ArgIndex, "[N]"}, {field.ArgKey, "[KEY]"}, {field.ArgName, ".NAME"}, {field.ArgRequired, "required"}} {
			if d.Args&k.kind != 0 {
				b.WriteString(" " + k.form)
			}
		}
		for _, p := range fieldProperties {
			if d.Flags&p.flag != 0 {
				b.WriteString(" " + p.word)
			}
		}
		b.WriteByte('\n')
	}
	const golden = "testdata/fields.golden"
	if *updateFields {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("the fields differ from %s:\n%s", golden, got)
	}
}

// anEvent is an event of a type with empty parameters, of a thread without facts.
func anEvent(t *testing.T, typ event.Type) *host.Event {
	t.Helper()
	info := typ.Info()
	b, err := event.Append(nil, 1, 1, typ, make([]any, len(info.Params))...)
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	ev.Num = 1
	state := host.New(host.Options{})
	var he host.Event
	state.Apply(&ev, &he)
	return &he
}

func TestEveryExampleOfAFieldCompilesAndRuns(t *testing.T) {
	events := []*host.Event{
		anEvent(t, event.SYSCALL_OPENAT_2_X), anEvent(t, event.SOCKET_CONNECT_X), anEvent(t, event.SYSCALL_EXECVE_19_X), anEvent(t, event.GENERIC_X),
	}
	for _, d := range field.All() {
		if d.Flags&field.PrintOnly != 0 {
			f, err := ParseFormat("%" + d.Example)
			if err != nil {
				t.Errorf("%s: %q cannot be printed: %v", d.Name, d.Example, err)
				continue
			}
			for _, e := range events {
				f.AppendText(nil, e)
			}
			continue
		}
		n, err := Parse(d.Example)
		if err != nil {
			t.Errorf("%s: example %q: %v", d.Name, d.Example, err)
			continue
		}
		p := NewProgram()
		id, warnings, err := p.Add(n)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: example %q: %v, warnings %v", d.Name, d.Example, err, warnings)
			continue
		}
		for _, e := range events {
			p.Eval(id, e)
		}
		// Those of fields with a meaning give no cause for advice.
		if d.Flags&(field.Deprecated|field.Hidden) != 0 {
			continue
		}
		for _, a := range Standard.Advise(n) {
			if !strings.HasPrefix(a.Name, "falco-") {
				t.Errorf("%s: example %q: %s", d.Name, d.Example, a.Msg)
			}
		}
	}
}

func TestFieldsTakeTransformersAndRightSidesUnlessTheySayNo(t *testing.T) {
	for _, d := range field.All() {
		written := strings.TrimPrefix(d.Example, "not ")
		written, _, _ = strings.Cut(written, " ")
		if d.Flags&(field.PrintOnly|field.List) != 0 || d.Type != event.TypeCharbuf || strings.ContainsAny(written, "()") {
			continue
		}
		for _, c := range []struct {
			text    string
			refused bool
		}{
			{fmt.Sprintf("tolower(%s) = x", written), d.Flags&(field.NoTransformer|field.FilterOnly) != 0 || d.Name == evtType},
			{fmt.Sprintf("proc.name = val(%s)", written), d.Flags&(field.NoRHS|field.FilterOnly) != 0 || d.Name == evtType},
		} {
			n, err := Parse(c.text)
			if err == nil {
				_, _, err = NewProgram().Add(n)
			}
			if refused := err != nil; refused != c.refused {
				t.Errorf("%s: %v", c.text, err)
			}
		}
	}
}
