package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/scene"
	"rollcage/rules"
)

func load(t testing.TB, text string) *Set {
	t.Helper()
	s, problems := Load([]rule.File{{Name: "p.yaml", Data: []byte(text)}})
	for _, p := range problems {
		t.Fatal(p.Format())
	}
	return s
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	const head = "- policy: p\n  actions: [pause]\n"
	tests := []struct{ name, text, want string }{
		{"not YAML", "- policy: [", "p.yaml:1:1: error: not YAML"},
		{"not a list", "policy: x", `p.yaml:1:1: error: a file of policies is a list`},
		{"another kind of entry", "- polcy: x", "p.yaml:1:3: error: unknown kind of entry \"polcy\"\n    - polcy: x\n      ^\n    did you mean \"policy\"?"},
		{"no actions", "- policy: p\n", `p.yaml:1:3: error: policy "p" has no actions`},
		{"an unknown key", head + "  scop: {}\n", "p.yaml:3:3: error: unknown key of a policy \"scop\"\n      scop: {}\n      ^\n    did you mean \"scope\"?"},
		{"an unknown key of the scope", head + "  scope: {image: x}\n", `unknown key of scope "image"`},
		{"an unknown action", "- policy: p\n  actions:\n    - pase\n", "p.yaml:3:7: error: unknown action \"pase\"\n        - pase\n          ^\n    did you mean \"pause\"?"},
		{"kill without target", "- policy: p\n  actions: [kill]\n", "kill needs what to kill: process, tree, container"},
		{"kill of something else", "- policy: p\n  actions: [kill: proces]\n", `did you mean "process"?`},
		{"run without command", "- policy: p\n  actions:\n    - run: {timeout: 5s}\n", "run needs a command"},
		{"two actions in one", "- policy: p\n  actions:\n    - pause:\n      stop:\n", `begin another with "- "`},
		{"a time that is none", "- policy: p\n  actions:\n    - pause: {for: soon}\n", `for is a time like 30s, 5m or 2h, at most 168h, not "soon"`},
		{"an empty list", head + "  scope: {images: []}\n", "nothing would fit"},
		{"a mapping for a list", head + "  scope: {images: {a: b}}\n", "is a list of texts, or one text"},
		{"an unknown priority", head + "  rules: {priority: critcal}\n", `did you mean "critical"?`},
		{"an unknown mode", head + "  mode: enforced\n", `did you mean "enforce"?`},
		{"an unknown day", head + "  quiet: {days: [son]}\n", "unknown day \"son\""},
		{"an unknown zone", head + "  quiet: {zone: Mars}\n", "unknown time zone"},
		{"a time of day that is none", head + "  quiet: {from: 25:00}\n", "from is a time of day"},
		{"a limit of nothing", head + "  limit: {count: 0}\n", "limit.count is a number"},
		{"a name twice", head + head, `p.yaml:3:3: error: policy "p" is there already, at p.yaml:1`},
		{"a key twice", head + "  mode: monitor\n  mode: enforce\n", `the key "mode" is there twice`},
		{"protection of everything", "- protect: {}\n", "would protect everything"},
		{"protection by name of a process", "- protect: {processes: [sshd]}\n", "paths of executables"},
		{"an exception from everything", head + "  scope: {except: {}}\n", "leaves out everything"},
		{"enabled is a word", head + "  enabled: maybe\n", "enabled is true or false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Load([]rule.File{{Name: "p.yaml", Data: []byte(tt.text)}})
			var all strings.Builder
			for _, p := range problems {
				all.WriteString(p.Format())
			}
			if !Failed(problems) || !strings.Contains(all.String(), tt.want) {
				t.Errorf("got %s\nwant …%s…", all.String(), tt.want)
			}
		})
	}
}

func TestFileThatCannotBeReadIsAProblem(t *testing.T) {
	_, problems := Load(rule.ReadFiles(filepath.Join(t.TempDir(), "none.yaml")))
	if !Failed(problems) {
		t.Error("no error")
	}
}

func TestPoliciesHoldWhereAndAboutWhatTheySay(t *testing.T) {
	container := func(name, image string, labels ...string) *scene.Scene {
		c := &scene.Container{ID: "a", Name: name, Image: image, Labels: map[string]string{}}
		for i := 0; i < len(labels); i += 2 {
			c.Labels[labels[i]] = labels[i+1]
		}
		return &scene.Scene{Host: "node-1", Container: c}
	}
	host := &scene.Scene{Host: "node-1"}
	web := container("web-1", "registry/app:1", "tier", "front")
	k8s := container("k8s_x", "i", "io.kubernetes.pod.namespace", "prod", "io.kubernetes.pod.name", "shop-5d4f7c6b9d-x7k2p")
	tests := []struct {
		name, policy string
		scene        *scene.Scene
		why          string
	}{
		{"everything", "", host, ""},
		{"a place", "scope: {on: containers}", host, "it is not in a container"},
		{"the host", "scope: {on: host}", web, "it is not on the host itself"},
		{"a name", "scope: {containers: [db, 'web-*']}", web, ""},
		{"another name", "scope: {containers: db}", web, "the container's name is not in scope.containers"},
		{"a container's name on the host", "scope: {containers: db}", host, "it is not in a container"},
		{"an image", "scope: {images: ['registry/*']}", web, ""},
		{"another image", "scope: {images: ['registry/*']}", container("x", ""), "the image is not in scope.images"},
		{"a label", "scope: {labels: {tier: 'f*'}}", web, ""},
		{"another label", "scope: {labels: {tier: back}}", web, "the labels are not those of scope.labels"},
		{"a missing label", "scope: {labels: {team: '*'}}", web, "the labels are not those of scope.labels"},
		{"everything must fit", "scope: {containers: 'web-*', labels: {tier: back}}", web, "the labels are not those of scope.labels"},
		{"a Compose project", "scope: {compose: shop}", container("x", "i", "com.docker.compose.project", "shop"), ""},
		{"another Compose project", "scope: {compose: shop}", web, "the Compose project is not in scope.compose"},
		{"a Swarm service", "scope: {swarm: shop_web}", container("x", "i", "com.docker.swarm.service.name", "shop_web"), ""},
		{"a namespace", "scope: {namespaces: prod}", k8s, ""},
		{"a workload", "scope: {workloads: shop}", k8s, ""},
		{"another workload", "scope: {workloads: shop-5}", k8s, "the workload is not in scope.workloads"},
		{"a host", "scope: {hosts: 'node-*'}", web, ""},
		{"another host", "scope: {hosts: 'x-*'}", web, "the host is not in scope.hosts"},
		{"an exception", "scope: {on: containers, except: {containers: 'web-*'}}", web, "it is in scope.except"},
		{"no exception", "scope: {on: containers, except: {containers: 'db'}}", web, ""},
		{"a name that is not known yet", "scope: {containers: 'web-*'}", container("", ""), "the container's name is not known yet"},
		{"a label that is not known yet", "scope: {labels: {tier: back}}", container("", ""), "the labels are not known yet"},
		{"something else than what is not known", "scope: {containers: 'web-*', images: 'x*'}", container("", "y"), "the image is not in scope.images"},
		{"an exception that is not one by what is known", "scope: {except: {containers: 'db', hosts: 'x'}}", container("", ""), ""},
		{"a rule", "rules: {names: 'Shell*'}", web, ""},
		{"another rule", "rules: {names: [Miner]}", web, "the rule is in neither rules.names nor rules.tags"},
		{"a tag", "rules: {tags: [shell]}", web, ""},
		{"a name or a tag", "rules: {names: [Miner], tags: [shell]}", web, ""},
		{"a rule that is left out", "rules: {except: ['Shell*']}", web, "the rule is in rules.except"},
		{"as bad", "rules: {priority: warning}", web, ""},
		{"less bad", "rules: {priority: error}", web, "the alert is less severe than rules.priority"},
		{"disabled", "enabled: false", web, "it is disabled"},
		{"nothing is known", "scope: {on: containers}", nil, "it is not known what the alert is about"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := load(t, "- policy: p\n  actions: [pause]\n  "+tt.policy)
			a := &alert.Alert{Rule: "Shell run", Tags: []string{"container", "shell"}, Priority: rule.Warning, Source: "syscall"}
			if got := s.Policies[0].why(a, tt.scene); got != tt.why {
				t.Errorf("got %q, want %q", got, tt.why)
			}
			if got := len(s.Decide(a, tt.scene, time.Now())); (got == 1) != (tt.why == "") {
				t.Errorf("%d decisions", got)
			}
		})
	}
}

func TestAlertsAboutRollcageItselfAreNotActedOn(t *testing.T) {
	s := load(t, "- policy: p\n  actions: [pause]\n")
	a := alert.Internal(time.Now(), "x", rule.Critical, "m", nil)
	if d := s.Decide(a, nil, time.Now()); len(d) != 0 {
		t.Errorf("got %v", d)
	}
}

func TestActionsAreReadInTheirOrder(t *testing.T) {
	s := load(t, `
- policy: p
  actions:
    - notify: [slack, mail]
    - capture: {before: 1m, after: 0s}
    - pause: {for: 10m}
    - isolate
    - kill: tree
    - stop: {timeout: 5s}
    - run: /usr/local/bin/page
    - run: {command: 'echo hi', timeout: 1s}
`)
	var got []string
	for _, a := range s.Policies[0].Actions {
		got = append(got, a.String())
	}
	want := "notify slack, mail|capture|pause for 10m0s|isolate|kill tree|stop|run /usr/local/bin/page|run echo hi"
	if diff := cmp.Diff(want, strings.Join(got, "|")); diff != "" {
		t.Error(diff)
	}
	if a := s.Policies[0].Actions; a[1].Before != time.Minute || a[1].After != 0 || a[5].Timeout != 5*time.Second || a[7].Timeout != time.Second {
		t.Errorf("%+v", a)
	}
}

var shell = &alert.Alert{Rule: "Shell", Priority: rule.Warning, Source: "syscall"}

func TestMonitorModeQuietTimesAndLimitsMakeADryRun(t *testing.T) {
	noon := time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC) // a Saturday
	s := load(t, `
- policy: monitor
  actions: [notify, pause]
- policy: quiet
  mode: enforce
  actions: [pause]
  quiet: {days: [sat], zone: UTC}
- policy: limited
  mode: enforce
  actions: [notify, pause]
  limit: {count: 2, per: 1m}
`)
	at := func(container string, now time.Time) string {
		var out []string
		for _, d := range s.Decide(shell, &scene.Scene{Container: &scene.Container{ID: container}}, now) {
			out = append(out, fmt.Sprintf("%s/%d/%s", d.Policy.Name, len(d.Actions), d.Reason))
		}
		return strings.Join(out, " ")
	}
	steps := []struct {
		container string
		now       time.Time
		want      string
	}{
		{"a", noon, "monitor/2/monitor mode quiet/1/quiet time limited/2/"},
		{"a", noon.Add(24 * time.Hour), "monitor/2/monitor mode quiet/1/ limited/2/"},
		{"a", noon.Add(24*time.Hour + time.Second), "monitor/2/monitor mode quiet/1/ limited/2/"},
		{"a", noon.Add(24*time.Hour + 2*time.Second), "monitor/2/monitor mode quiet/1/ limited/1/rate limit: 2 in 1m0s are used up"},
		{"b", noon.Add(24*time.Hour + 2*time.Second), "monitor/2/monitor mode quiet/1/ limited/2/"},
		{"a", noon.Add(24*time.Hour + 2*time.Minute), "monitor/2/monitor mode quiet/1/ limited/2/"},
	}
	for i, st := range steps {
		if got := at(st.container, st.now); got != st.want {
			t.Errorf("step %d: got  %s\nwant %s", i, got, st.want)
		}
	}
}

func TestQuietTimesGoOverMidnight(t *testing.T) {
	s := load(t, "- policy: p\n  actions: [pause]\n  quiet: {days: fri, from: '22:00', to: '06:00', zone: Europe/Berlin}\n")
	q := s.Policies[0].Quiet[0]
	for at, want := range map[string]bool{
		"2026-05-01T21:59:00+02:00": false, "2026-05-01T22:00:00+02:00": true, "2026-05-02T05:59:00+02:00": true,
		"2026-05-02T06:00:00+02:00": false, "2026-05-02T23:00:00+02:00": false, "2026-05-01T05:00:00+02:00": false,
		"2026-05-01T20:30:00Z": true,
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.holds(now); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
}

func TestModesAreSwitchedAtRunTimeAndLast(t *testing.T) {
	const text = "- policy: p\n  actions: [pause]\n- policy: q\n  actions: [pause]\n"
	path := filepath.Join(t.TempDir(), "modes.json")
	s := load(t, text)
	if err := s.KeepModes(path); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMode("p", Enforce); err != nil {
		t.Fatal(err)
	}
	if d := s.Decide(shell, nil, time.Now()); d[0].DryRun || !d[1].DryRun {
		t.Errorf("%+v", d)
	}
	if err := s.SetMode("pp", Enforce); err == nil || !strings.Contains(err.Error(), `did you mean "p"?`) {
		t.Errorf("got %v", err)
	}
	s = load(t, text)
	if err := s.KeepModes(path); err != nil || s.Find("p").Mode() != Enforce || s.Find("q").Mode() != Monitor {
		t.Errorf("%v", err)
	}
	// A reload that lacks p, in which another is switched, must not bring p back in the file's mode.
	lacking := load(t, strings.ReplaceAll(text, "policy: p", "policy: r"))
	if err := errors.Join(lacking.KeepModes(path), lacking.SetMode("q", Enforce)); err != nil {
		t.Fatal(err)
	}
	s = load(t, text)
	if err := s.KeepModes(path); err != nil || s.Find("p").Mode() != Enforce || s.Find("q").Mode() != Enforce {
		t.Errorf("after a reload without it p is in mode %v, q in %v, %v", s.Find("p").Mode(), s.Find("q").Mode(), err)
	}
}

func TestProtectedListNamesWhatIsNotActedOn(t *testing.T) {
	s := load(t, `
- protect: {containers: 'db-*'}
  reason: the data
- protect: {processes: ['*/dockerd', /sbin/init]}
`)
	if got := s.ContainerProtected(&scene.Container{Name: "db-1"}, "h"); got != "the data" {
		t.Errorf("got %q", got)
	}
	if got := s.ContainerProtected(&scene.Container{ID: "a"}, "h"); got != "the container's name is not known yet, so it may be one that is protected: the data" {
		t.Errorf("of a container of which nothing is known: %q", got)
	}
	if got := s.ContainerProtected(&scene.Container{Name: "web"}, "h"); got != "" {
		t.Errorf("got %q", got)
	}
	for exe, want := range map[string]bool{"/usr/bin/dockerd": true, "/sbin/init": true, "/bin/sh": false} {
		if got := s.ProcessProtected(exe); (got != "") != want {
			t.Errorf("%s: %q", exe, got)
		}
	}
}

func TestDefaultPoliciesAreValidAndFitTheRules(t *testing.T) {
	s, problems := Load([]rule.File{Default()})
	for _, p := range problems {
		t.Error(p.Format())
	}
	var files []rule.File
	for _, f := range rules.Files() {
		files = append(files, rule.File{Name: f.Name, Data: f.Data})
	}
	set, _ := rule.Load(files, rule.LoadOptions{})
	for _, w := range s.Unused(set.Rules) {
		t.Error(w.Format())
	}
	for _, p := range s.Policies {
		for _, a := range p.Actions {
			if a.Kind.Touches() && p.Mode() != Monitor {
				t.Errorf("%s touches something by default: %s", p.Name, a)
			}
		}
	}
	if w := load(t, "- policy: p\n  actions: [pause]\n  rules: {names: [Revers shell]}").Unused(set.Rules); len(w) != 1 ||
		w[0].Suggestion != `did you mean "Reverse shell"?` {
		t.Errorf("%+v", w)
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"*", "", true}, {"a*c", "abc", true}, {"a*c", "ab", false},
		{"*b*", "abc", true}, {"a*b*c", "aXbYc", true}, {"*ab", "abcab", true}, {"a*a", "a", false}, {"", "", true}, {"", "a", false},
	} {
		if got := Match(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q %q: %v", tt.pattern, tt.s, got)
		}
	}
}

func TestTestsTellWhatIsDecidedInstead(t *testing.T) {
	s := load(t, "- policy: p\n  mode: enforce\n  actions: [pause]\n  rules: {names: [Shell]}\n")
	tests, problems := LoadTests(rule.File{Name: "t.yaml", Data: []byte(`
- test: good
  alert: {rule: Shell, priority: notice, tags: [x]}
  container: {name: web, image: i, labels: {a: b}}
  expect: [{policy: p, actions: [pause]}]
- test: bad
  alert: {rule: Other}
  at: 2026-05-01T12:00:00Z
  host: h
  expect: [{policy: p, dry-run: true, actions: [pause]}]
`)})
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	if got := tests[0].Run(s); got != "" {
		t.Error(got)
	}
	if got := tests[1].Run(s); got != "want p: pause (dry run)\n got nothing" {
		t.Error(got)
	}
	if _, problems := LoadTests(rule.File{Name: "t.yaml", Data: []byte("- test: x\n  alrt: {}\n")}); len(problems) != 2 {
		t.Errorf("%v", problems)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("- policy: p\n  actions: [pause, {kill: tree}, {run: {command: x}}]\n  scope: {labels: {a: b}, except: {on: host}}\n  quiet: [{days: [sat], from: '1:00'}]\n"))
	f.Add(defaultFile)
	f.Add([]byte("- &a {policy: *a}\n- protect: {processes: [/x]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, problems := Load([]rule.File{{Name: "x", Data: b}})
		for _, p := range problems {
			p.Format()
		}
		s.Decide(shell, &scene.Scene{}, time.Unix(0, 0))
		LoadTests(rule.File{Name: "x", Data: b})
	})
}

func BenchmarkDecide(b *testing.B) {
	s, _ := Load([]rule.File{Default()})
	sc := &scene.Scene{Host: "h", Container: &scene.Container{ID: "a", Name: "web", Image: "i"}}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Decide(shell, sc, now)
	}
}

func TestNothingIsTouchedWhileItIsNotKnownWhetherAContainerIsLeftOut(t *testing.T) {
	s := load(t, "- policy: p\n  mode: enforce\n  scope: {except: {labels: {keep: 'yes'}}}\n  actions: [pause]\n")
	a := &alert.Alert{Rule: "r", Source: "syscall"}
	for _, tt := range []struct {
		name string
		c    scene.Container
		dry  bool
	}{
		{"not known", scene.Container{ID: "a"}, true},
		{"known without the label", scene.Container{ID: "a", Name: "web"}, false},
	} {
		d := s.Decide(a, &scene.Scene{Container: &tt.c}, time.Now())
		if len(d) != 1 || d[0].DryRun != tt.dry {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
	if !s.NeedsFacts() {
		t.Error("an exception by labels needs no facts")
	}
	if load(t, "- policy: p\n  scope: {on: containers}\n  actions: [pause]\n").NeedsFacts() {
		t.Error("a place needs facts")
	}
}
