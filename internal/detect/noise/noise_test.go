package noise

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcage/internal/detect/rule"
)

var update = flag.Bool("update", false, "write golden files")

const rules = `
- list: backup
  items: [a, b]
- rule: Secret read
  desc: d
  condition: evt.type = openat and fd.name startswith /etc/
  output: o
  priority: INFO
  exceptions:
  - {name: tuned_host_program_parent_user_file, fields: [container.id, proc.exepath, proc.pname, user.name, fd.name]}
  - {name: tuned_image_program_user, fields: [proc.name, proc.pname]}
`

func load(t testing.TB, more ...string) *rule.Ruleset {
	t.Helper()
	files := []rule.File{{Name: "rules.yaml", Data: []byte(rules)}}
	for i, m := range more {
		files = append(files, rule.File{Name: fmt.Sprint(i, ".yaml"), Data: []byte(m)})
	}
	set, results := rule.Load(files, rule.LoadOptions{})
	for _, r := range results {
		for _, p := range r.Errors {
			t.Fatalf("%s\n%s", p.Format(), more)
		}
	}
	return set
}

// The files testdata/*.jsonl are alerts, those beside them what is proposed.
func TestProposals(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			alerts, _, err := Read(f)
			if err != nil {
				t.Fatal(err)
			}
			set := load(t)
			var got []byte
			for _, p := range Propose(alerts, set, Options{Least: 2, Most: 3}) {
				got = p.AppendYAML(got, set)
			}
			load(t, string(got))
			golden := strings.TrimSuffix(name, ".jsonl") + ".yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestLinesThatAreNoAlertsAreSkipped(t *testing.T) {
	alerts, skipped, err := Read(strings.NewReader("12:00:01: Warning text\n{\"rule\":\"R\",\"output_fields\":{\"fd.num\":3,\"evt.failed\":true,\"x\":null,\"y\":\"<NA>\"}}\n\n{}\n" +
		`{"rule":"Falco internal: metrics","source":"internal","output_fields":{}}` + "\n{"))
	if err != nil || skipped != 4 || len(alerts) != 1 {
		t.Fatalf("%v alerts, %d skipped, %v", alerts, skipped, err)
	}
	if got := fmt.Sprint(alerts[0].Fields); got != "map[evt.failed:true fd.num:3]" {
		t.Errorf("fields %s", got)
	}
}

func TestAlertsCannotWriteRules(t *testing.T) {
	evil := "x\n- rule: Secret read\n  enabled: false\n  override: {enabled: replace}\n#"
	fields := map[string]string{"container.id": "host", "proc.exepath": "/usr/bin/x", "proc.pname": evil, "proc.cmdline": evil, "user.name": evil}
	set := load(t)
	for _, name := range []string{"Secret read", evil} {
		a := Alert{Rule: name, Time: evil, Host: evil, Fields: fields}
		for _, p := range Propose([]Alert{a, a}, set, Options{Least: 1}) {
			doc := string(p.AppendYAML(nil, set))
			if r := load(t, doc).Lookup("Secret read"); !r.Enabled || strings.Contains(doc, "\n- rule: Secret read\n  enabled") {
				t.Errorf("%s", doc)
			}
		}
	}
}

// Whatever the values are, what is proposed loads and means the values.
func FuzzProposalsLoad(f *testing.F) {
	for _, s := range []string{"/usr/bin/x", "/a b", `/a"b'c`, "/a,b(c)=d", `/a\`, "/x: y #z", "backup", "/ü�", "/%{a}&*?|>!", "/a\tb"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, program, user string) {
		if strings.ContainsRune(user, 0) || strings.ContainsRune(program, 0) || len(user) > 200 || len(program) > 200 {
			t.Skip()
		}
		a := Alert{Rule: "Secret read", Fields: map[string]string{"container.id": "host", "proc.exepath": "/" + program, "user.name": user}}
		set := load(t)
		for _, p := range Propose([]Alert{a, a}, set, Options{Least: 1}) {
			if doc := p.AppendYAML(nil, set); len(p.Exceptions) > 0 {
				r := load(t, string(doc)).Lookup("Secret read")
				if !strings.Contains(r.Compiled(), "proc.exepath = ") {
					t.Errorf("%q: no exception in %s", doc, r.Compiled())
				}
			}
		}
	})
}
