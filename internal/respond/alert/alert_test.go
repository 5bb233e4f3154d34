package alert

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// sample returns an alert with every kind of value.
func sample() *Alert {
	return &Alert{
		Time: time.Unix(1700000000, 123456789), Rule: "Shell in container", Priority: rule.Warning, Source: "syscall",
		Tags: []string{"container", "shell"}, Hostname: "box",
		Message: `Shell "bash" started é`,
		Fields: []Field{
			{"proc.name", []byte(`"bash"`)}, {"fd.num", []byte("3")}, {"fd.name", []byte("null")}, {"evt.time", []byte("1700000000123456789")},
		},
	}
}

// The zone is set before anything runs that reads the clock.
func TestMain(m *testing.M) {
	time.Local = time.FixedZone("test", 3600)
	os.Exit(m.Run())
}

func TestShapes(t *testing.T) {
	const (
		head   = `{"hostname":"box",`
		output = `"output":"23:13:20.123456789: Warning Shell \"bash\" started é",`
		fields = `"output_fields":{"evt.time":1700000000123456789,"fd.name":null,"fd.num":3,"proc.name":"bash"},`
		middle = `"priority":"Warning","rule":"Shell in container","source":"syscall",`
		tags   = `"tags":["container","shell"],`
		tail   = `"time":"2023-11-14T22:13:20.123456789Z"}`
	)
	tests := []struct {
		name  string
		shape Shape
		want  string
	}{
		{"text", Shape{}, `23:13:20.123456789: Warning Shell "bash" started é`},
		{"text with ISO time", Shape{ISO8601: true}, `2023-11-14T22:13:20.123456789+0000: Warning Shell "bash" started é`},
		{"JSON", JSON(), head + output + fields + middle + tags + tail},
		{"JSON with message", Shape{JSON: true, Message: true}, head + `"message":"Shell \"bash\" started é",` + middle + tail},
		{"JSON with nothing that can be left out", Shape{JSON: true}, head + middle + tail},
		{"JSON with tags", Shape{JSON: true, Tags: true}, head + middle + tags + tail},
		{"JSON with ISO time", Shape{JSON: true, Output: true, ISO8601: true}, head +
			`"output":"2023-11-14T22:13:20.123456789+0000: Warning Shell \"bash\" started é",` + middle + tail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(tt.shape.Append(nil, sample()))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.shape.JSON && !json.Valid([]byte(got)) {
				t.Error("not JSON")
			}
		})
	}
}

func TestShapesOfInternalAlerts(t *testing.T) {
	t.Setenv("FALCO_HOSTNAME", "box")
	a := Internal(time.Unix(1700000000, 0), "Falco internal: syscall event drop", rule.Critical, "it happened",
		map[string]string{"n_evts": "5", "ebpf_enabled": `a "b"`})
	want := `23:13:20.000000000: Critical it happened (ebpf_enabled="a \"b\"" n_evts="5")`
	if got := string(Shape{}.Append(nil, a)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `{"hostname":"box","output":"it happened","output_fields":{"ebpf_enabled":"a \"b\"","n_evts":"5"},` +
		`"priority":"Critical","rule":"Falco internal: syscall event drop","source":"internal","time":"2023-11-14T22:13:20.000000000Z"}`
	if got := string(JSON().Append(nil, a)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHostnameIsThatOfTheEnvironment(t *testing.T) {
	t.Setenv("FALCO_HOSTNAME", "from-env")
	if got := Hostname(); got != "from-env" {
		t.Errorf("got %q", got)
	}
	t.Setenv("FALCO_HOSTNAME", "")
	if got := Hostname(); got == "" || got == "from-env" {
		t.Errorf("got %q, want the system's", got)
	}
}

// opened returns a state and the event that bash, process 100, opened a file.
func opened(t testing.TB, path string) *host.Event {
	t.Helper()
	state := host.New(host.Options{})
	bash := event.NewThreadInfo()
	bash.TID, bash.PID, bash.Comm, bash.Exe, bash.UID = 100, 100, "bash", "/bin/bash", 0
	state.Load(&event.Snapshot{Threads: []*event.ThreadInfo{bash}})
	b, err := event.Append(nil, 1700000000000000001, 100, event.SYSCALL_OPEN_X, 3, path, 1, 0o644, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ev, he := &event.Event{Num: 1}, new(host.Event)
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	state.Apply(ev, he)
	return he
}

func newEngine(t testing.TB, opts rule.LoadOptions, output string) *rule.Engine {
	t.Helper()
	text := "- rule: Opened\n  desc: d\n  condition: evt.type = open\n  priority: NOTICE\n  tags: [b, a]\n  output: '" + output + "'\n"
	set, results := rule.Load([]rule.File{{Name: "r", Data: []byte(text)}}, opts)
	if !results[0].OK() {
		t.Fatal(results[0].Errors[0])
	}
	e, err := rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFormatterMakesAlerts(t *testing.T) {
	tests := []struct {
		name, output string
		opts         FormatterOptions
		load         rule.LoadOptions
		message      string
		fields       []string
	}{
		{
			name: "values with their types", output: "%proc.name opened %fd.name as %fd.num (%proc.name)",
			message: "bash opened /etc/passwd as 3 (bash)",
			fields:  []string{`proc.name="bash"`, `fd.name="/etc/passwd"`, "fd.num=3", "evt.time=1700000000000000001"},
		},
		{
			name: "missing values", output: "name=%fd.sip up=%proc.aname[7]", message: "name=<NA> up=<NA>",
			fields: []string{"fd.sip=null", "proc.aname[7]=null", "evt.time=1700000000000000001"},
		},
		{
			name: "a transformer has no field", output: "%toupper(proc.name)", message: "BASH",
			fields: []string{"evt.time=1700000000000000001"},
		},
		{
			name: "another name of the time", output: "o", opts: FormatterOptions{ISO8601: true}, message: "o",
			fields: []string{"evt.time.iso8601=1700000000000000001"},
		},
		{
			name: "control characters", output: "%fd.name", message: "/tmp/a\uFFFDb",
			fields: []string{`fd.name="/tmp/a` + "\uFFFD" + `b"`, "evt.time=1700000000000000001"},
		},
		{
			name: "extra fields", output: "o", message: "o",
			load: rule.LoadOptions{AppendOutput: []rule.AppendOutput{{Fields: []rule.ExtraField{
				{Key: "fd.num"}, {Key: "text", Format: "%fd.num of %proc.name"}, {Key: "proc.pname"}}}}},
			fields: []string{"evt.time=1700000000000000001", "fd.num=3", `text="3 of bash"`, "proc.pname=null"},
		},
		{
			name: "a format that begins with a star", output: "*%fd.sip", message: "<NA>",
			fields: []string{"fd.sip=null", "evt.time=1700000000000000001"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, tt.load, tt.output)
			tt.opts.Hostname = "box"
			f, err := NewFormatter(e, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			path := "/etc/passwd"
			if tt.name == "control characters" {
				path = "/tmp/a\nb"
			}
			he := opened(t, path)
			a := f.Alert(e.Process(he)[0], he)
			var fields []string
			for _, f := range a.Fields {
				fields = append(fields, f.Key+"="+string(f.JSON))
			}
			if a.Message != tt.message {
				t.Errorf("message %q, want %q", a.Message, tt.message)
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Error(diff)
			}
			if a.Rule != "Opened" || a.Priority != rule.Notice || strings.Join(a.Tags, "") != "ab" || a.Hostname != "box" ||
				a.Time.UnixNano() != 1700000000000000001 || a.Source != "syscall" {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestAlertOutlivesItsEvent(t *testing.T) {
	e := newEngine(t, rule.LoadOptions{}, "%fd.name")
	f, err := NewFormatter(e, FormatterOptions{Hostname: "box"})
	if err != nil {
		t.Fatal(err)
	}
	he := opened(t, "/etc/passwd")
	a := f.Alert(e.Process(he)[0], he)
	clear(he.Bytes())
	if a.Message != "/etc/passwd" || string(a.Value("fd.name")) != `"/etc/passwd"` {
		t.Errorf("the alert changed with the event: %q %s", a.Message, a.Value("fd.name"))
	}
}

func BenchmarkAlert(b *testing.B) {
	e := newEngine(b, rule.LoadOptions{}, "%proc.name opened %fd.name (user=%user.name command=%proc.cmdline up=%proc.aname[2] container=%container.name)")
	f, err := NewFormatter(e, FormatterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	he := opened(b, "/etc/passwd")
	m := e.Process(he)[0]
	shape, buf := JSON(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		he.Num++
		buf = shape.Append(buf[:0], f.Alert(m, he))
	}
}
