package ruletest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

func loadRules(t testing.TB) *rule.Ruleset {
	t.Helper()
	set, results := rule.Load(rule.ReadFiles("testdata/rules.yaml"), rule.LoadOptions{})
	if !results[0].OK() {
		t.Fatal(results[0].Errors[0])
	}
	return set
}

// run runs the tests of a text and returns the report as people see it.
func run(t *testing.T, text string) (*Report, string) {
	t.Helper()
	r := Run([]rule.File{{Name: "t.yaml", Data: []byte(text)}}, loadRules(t))
	var b strings.Builder
	if _, err := r.WriteAll(&b); err != nil {
		t.Fatal(err)
	}
	return r, b.String()
}

func TestTestsThatPass(t *testing.T) {
	r := Run(rule.ReadFiles("testdata/server.yaml"), loadRules(t))
	if !r.OK() || len(r.Results) != 5 {
		var b strings.Builder
		if _, err := r.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		t.Error(b.String())
	}
}

func TestReportsOfFailuresAndMistakes(t *testing.T) {
	for _, name := range []string{"failures", "mistakes"} {
		r := Run(rule.ReadFiles(filepath.Join("testdata", name+".yaml")), loadRules(t))
		var b strings.Builder
		if _, err := r.WriteAll(&b); err != nil {
			t.Fatal(err)
		}
		if r.OK() {
			t.Errorf("%s: nothing is wrong", name)
		}
		path := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestAFileThatCannotBeReadIsAMistake(t *testing.T) {
	r := Run(rule.ReadFiles("testdata/gone.yaml"), loadRules(t))
	if r.OK() || len(r.Errors) != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestAFileWithoutTestsIsFine(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "tests: []\n"} {
		if r, out := run(t, text); !r.OK() || out != "0 tests, 0 failed\n" {
			t.Errorf("%q: got %s", text, out)
		}
	}
}

// TestValues reads parameters in every form and prints them as evt.args does.
func TestValues(t *testing.T) {
	tests := []struct{ name, event, want string }{
		{"flags as a list", "openat: {pid: 1, name: /x, flags: [O_RDWR, O_CREAT], mode: 0644}", "flags=7(O_CREAT|O_RDWR) mode=0644"},
		{"flags as a number", "openat: {pid: 1, name: /x, flags: 0x3}", "flags=3(O_RDWR)"},
		{"an error by name", "unlinkat: {pid: 1, res: EACCES, name: /x}", "res=-13(EACCES)"},
		{"an error with a sign", "unlinkat: {pid: 1, res: -ENOENT, name: /x}", "res=-2(ENOENT)"},
		{"an IPv6 address", "connect: {pid: 1, fd: 3, addr: '[::1]:80'}", "tuple=fd00::2:40000->::1:80"},
		{"a whole connection", "connect: {pid: 1, fd: 3, tuple: '1.1.1.1:1->2.2.2.2:2'}", "tuple=1.1.1.1:1->2.2.2.2:2"},
		{"a socket that the test gives no number", "connect: {pid: 1, addr: '1.2.3.4:80'}", "fd=4(<4t>10.0.0.2:40000->1.2.3.4:80)"},
		{"a unix socket", "connect: {pid: 1, fd: 3, addr: /run/docker.sock}", "addr=/run/docker.sock"},
		{"bytes in base64", "write: {pid: 1, fd: 3, data: !!binary aGVsbG8=}", "data=hello"},
		{"a signal", "kill: {pid: 1, arg.pid: 1, sig: SIGTERM}", "sig=15(SIGTERM)"},
		{"a mode", "fchmodat: {pid: 1, filename: /x, mode: S_IXUSR|S_ISUID}", "S_IXUSR"},
		{"an enumeration", "ptrace: {pid: 1, request: PTRACE_ATTACH, arg.pid: 1}", "request=11(PTRACE_ATTACH)"},
		{"a time span", "nanosleep: {pid: 1, interval: 1.5s}", "interval=1500000000(1.5s)"},
		{"descriptors of poll", "poll: {pid: 1, fds: ['3:41', '4']}", "fds=3:f41 4:?0"},
		{"a value of several forms", "setsockopt: {pid: 1, fd: 3, level: SOL_SOCKET, val: abc}", "val=abc"},
		{"nothing", "openat: {pid: 1, name: null}", "name=<NA>"},
		{"variables", "execve: {pid: 1, exe: /x, env: {A: b, C: d}}", "env=A=b.C=d."},
		{"a system call without event type", "fsmount: {pid: 1}", ""},
		{"an enter event by its enumerator", "SYSCALL_OPEN_E: {pid: 1, name: /x}", "name=/x"},
		{"a container", "container: {json: '{\"container\":{\"id\":\"123456789012\"}}'}", `"id":"123456789012"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, out := run(t, "processes: [{pid: 1, exe: /sbin/init, fds: {3: /etc/passwd}}]\ntests:\n- name: t\n  rules: [Everything]\n"+
				"  events: [{"+tt.event+"}]\n  alerts: [{rule: Everything, output: ['"+strings.ReplaceAll(tt.want, "'", "''")+"']}]\n")
			if !r.OK() {
				t.Error(out)
			}
		})
	}
}

func TestCaptureAsInput(t *testing.T) {
	dir := os.Getenv("ROLLCAGE_CAPTURES")
	if dir == "" {
		dir = "../../../../../shared/captures"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cat_write.scap")
	if _, err := os.Stat(path); err != nil {
		t.Skip("no captures:", err)
	}
	r, out := run(t, "tests:\n- name: t\n  rules: [Everything]\n  capture: "+path+"\n  alerts: [{rule: Everything, count: any, fields: {proc.name: cat}}]\n  others: allow\n")
	if !r.OK() {
		t.Error(out)
	}
}

func TestMissingCaptureFailsTheTest(t *testing.T) {
	r, out := run(t, "tests:\n- name: t\n  capture: gone.scap\n  alerts: []\n")
	if r.OK() || !strings.Contains(out, "gone.scap") {
		t.Error(out)
	}
}

// TestEveryEventTypeCanHappen makes each event with nothing but its process.
func TestEveryEventTypeCanHappen(t *testing.T) {
	for _, info := range event.All() {
		if info.Flags&event.Unused != 0 || !info.Current() {
			continue
		}
		r, out := run(t, "processes: [{pid: 7, exe: /bin/x, fds: {0: /dev/null}}]\ntests:\n- name: t\n  events: [{"+info.Enum+": {pid: 7}}]\n  alerts: []\n  others: allow\n")
		if !r.OK() {
			t.Errorf("%s: %s", info.Enum, out)
		}
	}
}

func FuzzRun(f *testing.F) {
	for _, file := range rule.ReadFiles("testdata") {
		f.Add(file.Data)
	}
	f.Add([]byte("tests: &a\n- *a\n"))
	set := loadRules(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "capture") {
			t.Skip("would read files")
		}
		r := Run([]rule.File{{Name: "f", Data: data}}, set)
		for _, e := range r.Errors {
			if e.Message == "" || e.File != "f" {
				t.Errorf("error without text or place: %+v", e)
			}
		}
	})
}

func TestTheExampleOfTheDocumentationPasses(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/rule-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the document has no example")
	}
	set, _ := rule.Load([]rule.File{{Name: "r", Data: []byte("- {rule: Shell in container, desc: d, output: o, priority: INFO," +
		" condition: evt.type=execve and container.id != host and proc.name = sh}\n")}}, rule.LoadOptions{})
	r := Run([]rule.File{{Name: "doc.yaml", Data: []byte(example)}}, set)
	if !r.OK() || len(r.Results) != 2 {
		var b strings.Builder
		if _, err := r.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		t.Error(b.String())
	}
}
