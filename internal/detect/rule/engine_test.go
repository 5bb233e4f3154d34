package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// world is a host with one process, bash with id 100 below init.
type world struct {
	state *host.State
	num   uint64
}

func newWorld() *world {
	w := &world{state: host.New(host.Options{})}
	root := event.NewThreadInfo()
	root.TID, root.PID, root.Comm, root.Exe = 1, 1, "init", "/sbin/init"
	bash := event.NewThreadInfo()
	bash.TID, bash.PID, bash.PTID, bash.Comm, bash.Exe, bash.ExePath = 100, 100, 1, "bash", "/bin/bash", "/bin/bash"
	w.state.Load(&event.Snapshot{Threads: []*event.ThreadInfo{root, bash}})
	return w
}

// open makes the event that process 100 opened a file.
func (w *world) open(t testing.TB, path string) *host.Event {
	t.Helper()
	w.num++
	b, err := event.Append(nil, 1700000000000000000+w.num, 100, event.SYSCALL_OPEN_X, 3, path, 1, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ev, he := &event.Event{Num: w.num}, new(host.Event)
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	w.state.Apply(ev, he)
	return he
}

func mustEngine(t testing.TB, set *Ruleset, opts EngineOptions) *Engine {
	t.Helper()
	e, err := NewEngine(set, opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func names(matches []*Match) []string {
	out := []string{}
	for _, m := range matches {
		out = append(out, m.Name)
	}
	return out
}

const fourRules = `
- {rule: Passwd, desc: d, output: o, priority: ERROR, tags: [file], condition: evt.type=open and fd.name=/etc/passwd}
- {rule: Etc, desc: d, output: o, priority: NOTICE, tags: [file, etc], condition: "evt.type in (open, openat) and fd.name startswith /etc/"}
- {rule: Off, desc: d, output: o, priority: INFO, enabled: false, tags: [etc], condition: evt.type=open}
- {rule: Close, desc: d, output: o, priority: DEBUG, condition: evt.type=close}
`

func TestEngineMatchesInTheOrderOfDefinition(t *testing.T) {
	set, w := mustLoad(t, fourRules), newWorld()
	tests := []struct {
		name     string
		matching Matching
		path     string
		want     []string
	}{
		{"the first match", MatchFirst, "/etc/passwd", []string{"Passwd"}},
		{"all matches", MatchAll, "/etc/passwd", []string{"Passwd", "Etc"}},
		{"a later rule", MatchFirst, "/etc/group", []string{"Etc"}},
		{"no match", MatchAll, "/tmp/x", []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := mustEngine(t, set, EngineOptions{Threshold: Debug, Matching: tt.matching})
			if diff := cmp.Diff(tt.want, names(e.Process(w.open(t, tt.path)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEngineRunsTheRulesThatAreSelected(t *testing.T) {
	set := mustLoad(t, fourRules)
	tests := []struct {
		name      string
		threshold Priority
		selection []Selection
		want      string
	}{
		{"those that the files enable", Debug, nil, "Passwd Etc Close"},
		{"a threshold", Notice, nil, "Passwd Etc"},
		{"a rule above the threshold cannot be enabled", Error, []Selection{{Enable: true, Rule: "*"}}, "Passwd"},
		{"a rule by name", Debug, []Selection{{Enable: true, Rule: "Off"}}, "Passwd Etc Off Close"},
		{"a rule by pattern", Debug, []Selection{{Rule: "*"}, {Enable: true, Rule: "P*s*d"}}, "Passwd"},
		{"rules by tag", Debug, []Selection{{Rule: "*"}, {Enable: true, Tag: "etc"}}, "Etc Off"},
		{"the last word counts", Debug, []Selection{{Enable: true, Rule: "Off"}, {Tag: "etc"}}, "Passwd Close"},
		{"a rule and a tag in one entry", Debug, []Selection{{Rule: "Close", Tag: "etc"}}, "Passwd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := mustEngine(t, set, EngineOptions{Threshold: tt.threshold, Selections: tt.selection})
			if got := strings.Join(names(e.Rules()), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMatchName(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "a", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*c", "abc", true}, {"*c", "abcd", false}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"*b*", "abc", true},
		{"**", "a", true}, {"a**c", "abc", true}, {"*a*b*", "xaxbx", true}, {"*a*b*", "xbxax", false},
		{"*ab", "abcab", false}, // the first ab is taken, as Falco does
	}
	for _, tt := range tests {
		if got := matchName(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%q fits %q: got %v, want %v", tt.name, tt.pattern, got, tt.want)
		}
	}
}

func TestEngineTellsItsInterest(t *testing.T) {
	set := mustLoad(t, ruleText("a", "evt.type in (openat, fsopen)")+ruleText("b", "evt.type=connect"))
	e := mustEngine(t, set, EngineOptions{Threshold: Debug})
	types, interest := e.Types(), e.Interest()
	for _, tt := range []struct {
		typ  event.Type
		want bool
	}{
		{event.SYSCALL_OPENAT_2_X, true}, {event.SOCKET_CONNECT_X, true}, {event.GENERIC_X, true},
		{event.ASYNCEVENT_E, true}, {event.SYSCALL_OPEN_X, false}, {event.SYSCALL_CLOSE_X, false},
	} {
		if types.Has(tt.typ) != tt.want {
			t.Errorf("%s: got %v, want %v", tt.typ, !tt.want, tt.want)
		}
	}
	for name, want := range map[string]bool{"openat": true, "fsopen": true, "connect": true, "open": false, "fsmount": false} {
		if got := interest.Syscalls.Has(event.SyscallByName(name).Code); got != want {
			t.Errorf("syscall %s: got %v, want %v", name, got, want)
		}
	}
}

func TestEngineAsksARuleOnlyAboutItsTypes(t *testing.T) {
	e := mustEngine(t, mustLoad(t, fourRules), EngineOptions{Threshold: Debug})
	if got := names(e.byType[event.SYSCALL_OPENAT_2_X]); !cmp.Equal(got, []string{"Etc"}) {
		t.Errorf("rules for openat: %v", got)
	}
	if got := names(e.byType[event.ASYNCEVENT_E]); len(got) != 3 {
		t.Errorf("rules for asynchronous events: %v, want all", got)
	}
}

func TestAppendOutputAndStaticFields(t *testing.T) {
	set, results := load(t, LoadOptions{
		StaticFields: map[string]string{"site": "here"},
		AppendOutput: []AppendOutput{
			{Tags: []string{"file"}, Output: "f=%fd.name"},
			{Tags: []string{"file", "etc"}, Output: "e=%static.site"},
			{Rule: "Close", Fields: []ExtraField{{Key: "proc.name"}, {Key: "who", Format: "%proc.name-%static.site"}}},
			{Source: "other", Output: "never"},
		},
	}, fourRules)
	if got := problems(results); len(got) > 0 {
		t.Fatal(got)
	}
	var got []string
	for _, r := range set.Rules {
		got = append(got, fmt.Sprint(r.Output, r.ExtraFields))
	}
	want := []string{"o f=%fd.name[]", "o f=%fd.name e=%static.site[]", "o[]", "o[{proc.name } {who %proc.name-%static.site}]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, results = load(t, LoadOptions{AppendOutput: []AppendOutput{{Fields: []ExtraField{{Key: "no.such"}}}}}, openRule)
	if got := problems(results); len(got) != 1 || !strings.HasPrefix(got[0], "LOAD_ERR_COMPILE_OUTPUT") {
		t.Errorf("an extra field that does not exist: got %q", got)
	}
}

func TestSuggestedFieldsAreAppended(t *testing.T) {
	set, _ := load(t, LoadOptions{StaticFields: map[string]string{"b": "1", "a": "2"}, AppendOutput: []AppendOutput{{Suggested: true}}}, openRule)
	out := set.Rules[0].Output
	if !strings.Contains(out, " container_id=%container.id") || !strings.HasSuffix(out, " static_a=%static.a static_b=%static.b") {
		t.Error(out)
	}
}

// BenchmarkEngine judges an event that matches nothing by many rules.
func BenchmarkEngine(b *testing.B) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "- {rule: R%d, desc: d, output: o, priority: INFO, condition: 'evt.type in (open, openat, openat2) and fd.name startswith /srv/%d and proc.name in (a%d, b, c) and not proc.pname = d'}\n", i, i, i)
	}
	for _, bench := range []struct {
		name, path, text string
	}{
		{"one rule", "/tmp/x", strings.SplitAfter(text.String(), "\n")[0]},
		{"200 rules", "/tmp/x", text.String()},
		{"200 rules of other types", "/tmp/x", strings.ReplaceAll(text.String(), "(open, openat, openat2)", "(close)")},
		{"a match", "/etc/passwd", fourRules},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e, w := mustEngine(b, mustLoad(b, bench.text), EngineOptions{Threshold: Debug}), newWorld()
			he := w.open(b, bench.path)
			b.ReportAllocs()
			for b.Loop() {
				he.Num++ // another event, as far as the program knows
				e.Process(he)
			}
		})
	}
}

func TestEngineDoesNotAllocate(t *testing.T) {
	for _, path := range []string{"/tmp/x", "/etc/passwd"} {
		e, w := mustEngine(t, mustLoad(t, fourRules), EngineOptions{Threshold: Debug, Matching: MatchAll}), newWorld()
		he := w.open(t, path)
		e.Process(he)
		if n := testing.AllocsPerRun(100, func() { he.Num++; e.Process(he) }); n != 0 {
			t.Errorf("%s: %v allocations per event", path, n)
		}
	}
}
