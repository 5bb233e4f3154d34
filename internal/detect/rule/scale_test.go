package rule

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// manyRules is a rules file of n rules over lists of items in all, as a large
// site collects them: shared macros, exceptions by list, most about programs
// that are run and files that are opened.
func manyRules(n, items int) []byte {
	var b strings.Builder
	const lists = 50
	for l := range lists {
		fmt.Fprintf(&b, "- list: programs_%d\n  items: [", l)
		for i := range items / lists / 2 {
			fmt.Fprintf(&b, "prog-%d-%d, ", l, i)
		}
		fmt.Fprintf(&b, "last-%d]\n- list: paths_%d\n  items: [", l, l)
		for i := range items / lists / 2 {
			fmt.Fprintf(&b, "/srv/app-%d/data/file-%d, ", l, i)
		}
		fmt.Fprintf(&b, "/last-%d]\n- macro: known_%d\n  condition: (proc.name in (programs_%d) or proc.pname in (programs_%d))\n", l, l, l, (l+1)%lists)
	}
	b.WriteString("- macro: spawned\n  condition: (evt.type in (execve, execveat))\n")
	b.WriteString("- macro: opened\n  condition: (evt.type in (open, openat, openat2) and fd.typechar = 'f' and fd.num >= 0)\n")
	for i := range n {
		l := i % lists
		cond := fmt.Sprintf("spawned and not known_%d and proc.cmdline contains tool-%d and container.id != host", l, i)
		if i%2 == 1 {
			cond = fmt.Sprintf("opened and fd.name in (paths_%d) and not known_%d and proc.exepath != /usr/bin/tool-%d", l, l, i)
		}
		fmt.Fprintf(&b, "- rule: rule %d\n  desc: number %d\n  condition: %s\n  output: x %%proc.name %%fd.name (user=%%user.name)\n  priority: WARNING\n  tags: [a, t%d]\n", i, i, cond, l)
		if i%4 == 0 {
			fmt.Fprintf(&b, "  exceptions:\n    - name: known\n      fields: [proc.name, proc.pname]\n      comps: [=, =]\n      values:\n        - [a%d, b%d]\n", i, i)
		}
	}
	return []byte(b.String())
}

func loadMany(b testing.TB, n, items int) *Ruleset {
	set, results := Load([]File{{Name: "many.yaml", Data: manyRules(n, items)}}, LoadOptions{})
	if !results[0].OK() || len(set.Rules) != n {
		b.Fatal(results[0].Summary(true))
	}
	return set
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprintf("%d rules, %d items", n, 5*n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				loadMany(b, n, 5*n)
			}
		})
	}
}

func BenchmarkNewEngine(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprint(n, " rules"), func(b *testing.B) {
			set := loadMany(b, n, 5*n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewEngine(set, EngineOptions{Threshold: Debug, Matching: MatchAll}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkProcess judges events of two types that no rule of the file can match, and one that half of them ask about.
func BenchmarkProcess(b *testing.B) {
	for _, n := range []int{2, 200, 2000} {
		e, err := NewEngine(loadMany(b, n, 5*n), EngineOptions{Threshold: Debug, Matching: MatchAll})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name string
			data []byte
		}{
			{"read", appendEvent(b, event.SYSCALL_READ_X, 10, []byte("x"))},
			{"openat", appendEvent(b, event.SYSCALL_OPENAT_2_X, 3, -100, "/etc/passwd", 1, 0, 0x801, 77)},
		} {
			b.Run(fmt.Sprint(n, " rules, ", c.name), func(b *testing.B) {
				st := host.New(host.Options{})
				st.Load(&event.Snapshot{Threads: []*event.ThreadInfo{{TID: 7, PID: 7, Comm: "cat", Exe: "cat", ExePath: "/usr/bin/cat", Cwd: "/"}}})
				var ev event.Event
				var he host.Event
				if err := ev.Reset(c.data); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					ev.Num++
					st.Apply(&ev, &he)
					e.Process(&he)
				}
			})
		}
	}
}

func appendEvent(b *testing.B, t event.Type, params ...any) []byte {
	data, err := event.Append(nil, 1e18, 7, t, params...)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// oneList is a rules file of n rules that all name the same list of items.
func oneList(n, items int, rest string) []byte {
	var b strings.Builder
	b.WriteString("- list: known\n  items: [")
	for i := range items {
		fmt.Fprintf(&b, "program-%d, ", i)
	}
	fmt.Fprintf(&b, "last]\n- macro: is_known\n  condition: (proc.name in (known))\n")
	for i := range n {
		cond := fmt.Sprintf("evt.type = execve and not proc.name in (known) and proc.pname = tool-%d%s", i, rest)
		if i%2 == 1 {
			cond = fmt.Sprintf("evt.type = openat and not is_known and fd.name = /srv/%d%s", i, rest)
		}
		fmt.Fprintf(&b, "- rule: rule %d\n  desc: number %d\n  condition: %s\n  output: x %%proc.name\n  priority: WARNING\n", i, i, cond)
	}
	return []byte(b.String())
}

func BenchmarkOneList(b *testing.B) {
	data := oneList(2000, 10_000, "")
	b.ReportAllocs()
	for b.Loop() {
		set, results := Load([]File{{Name: "one.yaml", Data: data}}, LoadOptions{})
		if !results[0].OK() {
			b.Fatal(results[0].Summary(true))
		}
		if _, err := NewEngine(set, EngineOptions{Threshold: Debug, Matching: MatchAll}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWhatRulesShareIsReportedForEach compares the problems of rules that
// share a long list with those of each rule alone.
func TestWhatRulesShareIsReportedForEach(t *testing.T) {
	items := strings.Repeat("a-rather-long-name, ", 30) + "fd.name, proc.nme"
	head := "- list: known\n  items: [" + items + "]\n"
	rule := func(i int, cond string) string {
		return fmt.Sprintf("- rule: r%d\n  desc: d\n  condition: %s\n  output: o\n  priority: ERROR\n", i, cond)
	}
	conds := []string{
		"evt.type = open and proc.name in (known)",
		"evt.type = open and proc.pname = x and proc.name in (known)",
		"evt.type = open and fd.num in (known)",
		"evt.type = open and not proc.name in (known) and proc.name in (known)",
		"evt.type = open and proc.name in (known",
		"evt.type = open and proc.name in (known) and fd.name in (known, last)",
	}
	all := head
	for i, c := range conds {
		all += rule(i, c)
	}
	_, results := Load([]File{{Name: "all.yaml", Data: []byte(all)}}, LoadOptions{})
	got := map[string][]string{}
	for _, p := range results[0].Problems() {
		got[p.Item] = append(got[p.Item], fmt.Sprintf("%s %d %s", p.Code, p.Position.Column, p.Message))
	}
	some := false
	for i, c := range conds {
		_, alone := Load([]File{{Name: "one.yaml", Data: []byte(head + rule(i, c))}}, LoadOptions{})
		item := fmt.Sprintf("rule %q", fmt.Sprintf("r%d", i))
		var want []string
		for _, p := range alone[0].Problems() {
			if p.Item == item {
				want = append(want, fmt.Sprintf("%s %d %s", p.Code, p.Position.Column, p.Message))
			}
		}
		some = some || len(want) > 0
		if !slices.Equal(got[item], want) {
			t.Errorf("%s: %q\nalone: %q", c, got[item], want)
		}
	}
	if !some {
		t.Error("nothing was reported, so nothing was compared")
	}
}
