package falco

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/time/rate"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

func TestTheEnvironmentIsPutIntoScalars(t *testing.T) {
	env := map[string]string{"A": "1", "B": "${A}2", "OPEN": "${", "LOOP": "x${LOOP}"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, tt := range []struct{ name, text, want string }{
		{"nothing to do", "plain $A", "plain $A"},
		{"a variable", "a${A}b", "a1b"},
		{"one that is not set", "a${NONE}b", "ab"},
		{"one inside of another", "${B}", "12"},
		{"one that is escaped", "$${A}${A}", "${A}1"},
		{"one that is not closed", "${A}${A", "1${A"},
		{"a value that opens another", "${OPEN}A}", "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := expand(tt.text, lookup); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := expand("${LOOP}", lookup); len(got) > 2*maxExpansions {
		t.Errorf("a variable that holds itself gives %d bytes", len(got))
	}
}

func TestSettingsFindTheirPlace(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings []string
		key      string
		want     []string
	}{
		{"a name", []string{"a=1"}, "a", []string{"1"}},
		{"names in names, that were not there", []string{"a.b.c=1"}, "a.b.c", []string{"1"}},
		{"a new element of a list that was not there", []string{"a[]=1", "a[]=2"}, "a", []string{"1", "2"}},
		{"an element", []string{"a[]=1", "a[0]=2"}, "a", []string{"2"}},
		{"the element after the last", []string{"a[0]=1", "a[1]=2"}, "a", []string{"1", "2"}},
		{"names below elements", []string{"r[].d.x=1", "r[].d.x=2", "r[0].d.x=3"}, "r[1].d.x", []string{"2"}},
		{"a dot in a name", []string{`a.b\.c=1`}, `a.b\.c`, []string{"1"}},
		{"brackets in a name", []string{`a\[0\]=1`}, `a\[0\]`, []string{"1"}},
		{"a mapping", []string{`a[]={"x": "{1}"}`}, "a[0].x", []string{"{1}"}},
		{"a value with an equals sign", []string{"a=b=c"}, "a", []string{"b=c"}},
		{"a list of lists", []string{"a[][]=1"}, "a[0][0]", []string{"1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree()
			if err := applySettings(tr, tt.settings); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tr.texts(tt.key)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIntervals(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "100ms": 100 * time.Millisecond, "1d2ms": 24*time.Hour + 2*time.Millisecond,
		"5000": -1, "": -1, "1m1h": -1, "1.5h": -1, "99999999999s": -1,
	} {
		if got, ok := parseInterval(text); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: got %v %v", text, got, ok)
		}
	}
}

func TestTheSchemasAreValidAndTakeAnEmptyConfiguration(t *testing.T) {
	for _, s := range []*schema{configSchema, rulesSchema} {
		if s.compiled() == nil {
			t.Errorf("%s does not compile", s.name)
		}
	}
	if got := configSchema.check(newTree().root); got != schemaOK {
		t.Errorf("got %q", got)
	}
}

func TestTracedSystemCalls(t *testing.T) {
	state := event.SyscallSet("modifies_state")
	for _, tt := range []struct {
		name     string
		config   syscallsConfig
		wanted   names
		has, not []string
		missing  []string
	}{
		{"what rules want and the state needs", syscallsConfig{}, names{"mkdir": true}, []string{"mkdir", "clone", processExit}, []string{"read", "rmdir"}, nil},
		{"no reads and writes", syscallsConfig{}, names{"read": true}, nil, []string{"read"}, []string{"read"}},
		{"but if all are asked for", syscallsConfig{all: true}, names{"read": true}, []string{"read"}, nil, nil},
		{"a set of one's own in place of the state's", syscallsConfig{custom: []string{"chmod"}}, names{"mkdir": true}, []string{"mkdir", "chmod", processExit}, []string{"clone"}, nil},
		{"less than that", syscallsConfig{custom: []string{"!mkdir", "!clone"}}, names{"mkdir": true}, []string{"execve"}, []string{"mkdir", "clone"}, []string{"mkdir"}},
		{"the least that is needed", syscallsConfig{repair: true}, names{"connect": true}, []string{"connect", "socket", "clone"}, []string{"eventfd"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := selectSyscalls(&tt.config, tt.wanted)
			for _, n := range tt.has {
				if !got.traced[n] {
					t.Errorf("%s is not traced", n)
				}
			}
			for _, n := range tt.not {
				if got.traced[n] {
					t.Errorf("%s is traced", n)
				}
			}
			if !slices.Equal(got.missing, tt.missing) {
				t.Errorf("missing: %v", got.missing)
			}
		})
	}
	if got := selectSyscalls(&syscallsConfig{custom: []string{"opne"}}, nil); len(got.warnings) != 1 || len(got.traced) < len(state) {
		t.Errorf("a name that nobody knows: %v", got.warnings)
	}
}

func TestLossesAreActedOnAsOftenAsTheBucketAllows(t *testing.T) {
	var log strings.Builder
	var sent []*alert.Alert
	d := &dropMonitor{
		dropsConfig: dropsConfig{actions: []string{dropAlert, dropLog}, threshold: .1, rate: 0.5, burst: 2}, limit: rate.NewLimiter(0.5, 2),
		send: func(a *alert.Alert) { sent = append(sent, a) },
		log:  &logger{stderr: &log, level: logInfo, now: time.Now},
	}
	stats := event.Stats{}
	const second = uint64(time.Second)
	look := func(n uint64, events, lost uint64) {
		stats.Events += events
		stats.Dropped += lost
		if err := d.check(n*(second+1), func() event.Stats { return stats }); err != nil {
			t.Fatal(err)
		}
	}
	look(1, 100, 0)  // begins
	look(2, 100, 5)  // below the threshold
	look(3, 100, 20) // first token
	look(4, 100, 20) // second
	look(5, 100, 20) // a half and a half have come back
	look(6, 100, 20) // too little
	if d.seen != 4 || d.acted != 3 || len(sent) != 3 {
		t.Errorf("seen %d, acted %d, sent %d", d.seen, d.acted, len(sent))
	}
	const want = "Falco internal: syscall event drop. 20 system calls dropped in last second."
	if !strings.Contains(log.String(), want) || sent[0].Message != want || string(sent[0].Value("n_drops")) != `"20"` {
		t.Errorf("log %q, alert %+v", log.String(), sent[0])
	}
	d.actions = []string{dropExit}
	stats.Dropped += 1000
	if err := d.check(20*second, func() event.Stats { return stats }); err == nil {
		t.Error("the run goes on")
	}
}

// FuzzConfiguration reads foreign configurations and settings: whatever they
// hold, the result is a configuration or an error.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte("rules: [{disable: {tag: a}}]\nappend_output: [{extra_fields: [a, {b: c}]}]\n"), "rules[].enable.rule=*")
	f.Add([]byte("a: &x [1]\nb: *x\nmetrics: {enabled: yes, interval: 1h}\n"), "b[0]={x: y}")
	f.Add([]byte("static_fields: {a: ${HOME}}\nplugins: [{name: json}]\n"), `a\.b.c[0][1]=x`)
	f.Fuzz(func(t *testing.T, data []byte, setting string) {
		tr, err := parseTree(data)
		if err != nil {
			return
		}
		configSchema.check(tr.root)
		if applySettings(tr, []string{setting}) != nil {
			return
		}
		_, _ = decode(tr)
	})
}
