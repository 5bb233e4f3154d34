package field

import (
	"errors"
	"strings"
	"testing"
)

func TestEveryFieldHasDocumentationAndAnExampleThatNamesIt(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range All() {
		if seen[d.Name] {
			t.Errorf("%s is there twice", d.Name)
		}
		seen[d.Name] = true
		if Lookup(d.Name) != d {
			t.Errorf("Lookup(%s) gives another field", d.Name)
		}
		if d.Class == "" || !strings.HasSuffix(d.Doc, ".") || strings.Contains(d.Doc, ". ") {
			t.Errorf("%s is documented as %q in class %q", d.Name, d.Doc, d.Class)
		}
		name, n := Longest(strings.TrimPrefix(d.Example, "not "))
		rest := strings.TrimPrefix(d.Example, "not ")[n:]
		written := name
		if strings.HasPrefix(rest, "[") {
			written += rest[:strings.IndexByte(rest, ']')+1]
		}
		f, err := parse(written)
		if err != nil {
			t.Errorf("%s: example %q: %v", d.Name, d.Example, err)
			continue
		}
		if f.Def != d {
			t.Errorf("%s: example %q is about %s", d.Name, d.Example, f.Def.Name)
		}
		if f.Name != written || f.Read == nil {
			t.Errorf("%s: parsed as %q", written, f.Name)
		}
	}
	if len(seen) < 290 {
		t.Errorf("only %d fields", len(seen))
	}
}

func TestParseRefusesWhatItCannotRead(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"proc.nmae", `unknown field "proc.nmae", did you mean proc.name?`},
		{"zzzzzzzz.qqqq", `unknown field "zzzzzzzz.qqqq"`},
		{"proc", `unknown field "proc"`},
		{"", `unknown field ""`},
		{"proc.name[1]", "field proc.name takes no argument"},
		{"proc.aname[x]", `field proc.aname takes a number in brackets, not "x"`},
		{"proc.aname[-1]", `field proc.aname takes a number in brackets, not "-1"`},
		{"proc.aname[]", "field proc.aname has an empty argument"},
		{"evt.arg", "field evt.arg needs an argument: evt.arg.NAME or evt.arg[N]"},
		{"evt.arg[flags]", `field evt.arg takes a number in brackets, not "flags"`},
		{"evt.arg.flgas", `field evt.arg knows no parameter "flgas", did you mean flags?`},
		{"evt.arg.flags[1]", `unknown field "evt.arg.flags"`},
		{"evt.arg.flagsx", `field evt.arg knows no parameter "flagsx", did you mean flags?`},
		{"evt.rawarg[0]", "field evt.rawarg takes its argument as evt.rawarg.NAME"},
		{"evt.rawarg.nothing", `field evt.rawarg knows no parameter "nothing"`},
		{"evt.type.is.opne", `field evt.type.is knows no event type "opne"`},
		{"evt.type.is.99999", `field evt.type.is knows no event type "99999"`},
		{"evt.abspath.both", `field evt.abspath takes only .src or .dst, not "both"`},
		{"evt.around", "field evt.around needs an argument: evt.around[N]"},
		{"evt.around[soon]", `field evt.around takes a number in brackets, not "soon"`},
		{"thread.cgroup", "field thread.cgroup needs an argument: thread.cgroup.NAME"},
		{"thread.cgroup[cpu]", "field thread.cgroup takes its argument as thread.cgroup.NAME"},
		{"container.mount", "field container.mount needs an argument: container.mount.NAME or container.mount[NAME] or container.mount[N]"},
		{"container.label.", "field container.label needs the name of a label"},
		{"fd.types[tcp]", `field fd.types takes a number in brackets, not "tcp"`},
	} {
		_, err := parse(c.text)
		if err == nil {
			t.Errorf("%s: accepted", c.text)
			continue
		}
		if got := err.Error(); got != c.want && !(strings.HasSuffix(got, "?") && strings.HasPrefix(got, c.want+", did you mean")) {
			t.Errorf("%s: %s\nwant %s", c.text, got, c.want)
		}
		var unknown *UnknownError
		var arg *ArgError
		if !errors.As(err, &unknown) && !errors.As(err, &arg) {
			t.Errorf("%s: %T", c.text, err)
		}
	}
}

func TestParseTakesBothFormsOfArguments(t *testing.T) {
	for _, c := range []struct{ text, def, arg string }{
		{"evt.arg.flags", "evt.arg", "flags"},
		{"evt.arg[1]", "evt.arg", "1"},
		{"evt.rawarg.res", "evt.rawarg", "res"},
		{"evt.abspath", "evt.abspath", ""},
		{"evt.abspath.dst", "evt.abspath", "dst"},
		{"evt.type.is.openat", "evt.type.is", "openat"},
		{"thread.cgroup.cpu", "thread.cgroup", "cpu"},
		{"container.label.com.example.team", "container.label", "com.example.team"},
		{"container.label[com.example/team]", "container.label", "com.example/team"},
		{"container.mount[/proc*]", "container.mount", "/proc*"},
		{"container.mount.source[2]", "container.mount.source", "2"},
		{"proc.aenv[2]", "proc.aenv", "2"},
		{"proc.aenv[PATH]", "proc.aenv", "PATH"},
		{"proc.env[LD_PRELOAD]", "proc.env", "LD_PRELOAD"},
		{`proc.env["LD_PRELOAD"]`, "proc.env", "LD_PRELOAD"},
	} {
		f, err := parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if f.Def.Name != c.def || f.Arg != c.arg || f.HasArg != (c.arg != "") {
			t.Errorf("%s: field %s, argument %q %v", c.text, f.Def.Name, f.Arg, f.HasArg)
		}
	}
}

func TestLongestFindsTheFieldThatATextBeginsWith(t *testing.T) {
	for text, want := range map[string]string{
		"proc.name, and more":      "proc.name",
		"proc.name.":               "proc.name",
		"proc.namex":               "proc.name",
		"proc.exepath)":            "proc.exepath",
		"proc.exe":                 "proc.exe",
		"evt.arg.flags":            "evt.arg.flags",
		"evt.arg.flagsx":           "evt.arg.flags",
		"evt.arg[1]":               "evt.arg",
		"evt.time.iso8601 x":       "evt.time.iso8601",
		"evt.time.iso":             "evt.time",
		"evt.abspath.dst":          "evt.abspath.dst",
		"evt.abspath.dust":         "evt.abspath",
		"container.image":          "container.image",
		"container.image.":         "container.image",
		"container.label.team:":    "container.label.team",
		"thread.cgroup.cpu/x":      "thread.cgroup.cpu",
		"nothing":                  "",
		"":                         "",
		".":                        "",
		"proc":                     "",
		"proc..name":               "",
		"user.loginname=%user.uid": "user.loginname",
	} {
		name, n := Longest(text)
		if name != want || n != len(want) {
			t.Errorf("Longest(%q) = %q, %d, want %q", text, name, n, want)
		}
	}
}
