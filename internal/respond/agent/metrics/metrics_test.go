package metrics

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
)

// ended is a source that lost events and has none.
type ended struct{}

func (ended) Snapshot() *event.Snapshot { return &event.Snapshot{} }
func (ended) Next(*event.Event) error   { return io.EOF }
func (ended) Close() error              { return nil }
func (ended) Stats() event.Stats {
	return event.Stats{Events: 90, Dropped: 10, Drops: map[event.Type]uint64{event.SYSCALL_OPENAT_2_X: 7, event.SYSCALL_READ_X: 3},
		CPUs: []event.CPUStats{{Events: 60}, {Events: 30, Dropped: 10}}, Programs: []event.ProgramStats{{Name: "sys_exit", Runs: 4, Time: 1000}}}
}

func newReader(t *testing.T) *Reader {
	t.Helper()
	const text = `- {rule: "Read it: now", desc: d, condition: evt.type = openat, output: o, priority: WARNING, tags: [a-b, container]}` + "\n" +
		`- {rule: other, desc: d, condition: evt.type = openat, output: o, priority: NOTICE}` + "\n"
	set, _ := rule.Load([]rule.File{{Name: "/etc/r.yaml", Data: []byte(text)}}, rule.LoadOptions{})
	e, err := rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := agent.NewRules(e, alert.FormatterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rules.Files = []agent.File{agent.NewFile("/etc/r.yaml", []byte(text))}
	d := alert.NewDelivery(nil, alert.DeliveryOptions{})
	a, err := agent.New(ended{}, rules, d, agent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &Reader{Agent: a, Delivery: d, Version: "1.2.3"}
}

func scrape(t *testing.T, scheme Scheme) string {
	t.Helper()
	w := httptest.NewRecorder()
	newReader(t).Handler(scheme, AllGroups).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/plain; version=0.0.4" {
		t.Errorf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.String()
}

func TestPrometheusIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		scheme Scheme
		want   []string // regular expressions of lines
	}{
		"with our own names": {Native, []string{
			`rollcage_events_total 90`, `rollcage_events_dropped_total 10`,
			`rollcage_events_dropped_by_type_total\{type="SYSCALL_OPENAT_2_X"\} 7`,
			`rollcage_cpu_events_total\{cpu="1"\} 30`, `rollcage_cpu_events_dropped_total\{cpu="1"\} 10`,
			`rollcage_bpf_runs_total\{program="sys_exit"\} 4`, `rollcage_bpf_run_seconds_total\{program="sys_exit"\} 1e-06`,
			`rollcage_rule_matches_total\{priority="Warning",rule="Read it: now"\} 0`,
			`rollcage_rules 2`, `rollcage_canary_ok 1`, `rollcage_memory_rss_bytes [1-9].*`, `rollcage_cpu_seconds_total .*`,
			`rollcage_file_info\{file="/etc/r.yaml",sha256="[0-9a-f]{64}"\} 1`, `rollcage_state_threads 0`,
			`# TYPE rollcage_events_total counter`, `# HELP rollcage_events_total Events that were judged.`,
		}},
		"with the names of Falco": {Falco, []string{
			`falcosecurity_falco_version_info\{version="1.2.3"\} 1`,
			`falcosecurity_falco_rules_matches_total\{priority="4",rule_name="Read it: now",source="syscall",tag_a_b="true",tag_container="true"\} 0`,
			`falcosecurity_falco_rules_matches_total\{priority="5",rule_name="other",source="syscall"\} 0`,
			`falcosecurity_scap_n_evts_total 100`, `falcosecurity_scap_n_drops_total 10`,
			`falcosecurity_scap_n_drops_buffer_total\{dir="exit",drop="open"\} 7`,
			`falcosecurity_scap_n_evts_cpu_total\{cpu="1"\} 40`, `falcosecurity_scap_n_drops_cpu_total\{cpu="1"\} 10`,
			`falcosecurity_scap_sys_exit_run_cnt_total 4`, `falcosecurity_scap_sys_exit_avg_time_nanoseconds 250`,
			`falcosecurity_falco_duration_seconds_total .*`, `falcosecurity_falco_cpu_usage_ratio .*`,
			`falcosecurity_falco_memory_rss_bytes [1-9].*`, `falcosecurity_falco_host_num_cpus_total [1-9].*`,
			`falcosecurity_scap_engine_name_info\{engine_name="modern_bpf",evt_source="syscall"\} 1`,
			`falcosecurity_falco_sha256_rules_files_info\{file_name="/etc/r.yaml",sha256="[0-9a-f]{64}"\} 1`,
			`# TYPE falcosecurity_scap_n_evts_total counter`, `# TYPE falcosecurity_falco_cpu_usage_ratio gauge`,
			`# HELP falcosecurity_falco_cpu_usage_ratio http.*`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := scrape(t, c.scheme)
			for _, w := range c.want {
				if !regexp.MustCompile("(?m)^" + w + "$").MatchString(got) {
					t.Errorf("no line is %s", w)
				}
			}
			if t.Failed() {
				t.Log(got)
			}
		})
	}
}

func sample() *Sample {
	at := time.Unix(1_700_000_000, 0)
	return &Sample{
		Time: at.Add(10 * time.Second), Num: 2, Host: "h", Version: "1.2.3", Kernel: "6.1", Boot: at.Add(-time.Hour), CPUs: 4,
		Agent: agent.Stats{
			Started: at, Source: event.Stats{Events: 500, Dropped: 100, Drops: map[event.Type]uint64{event.SYSCALL_OPENAT_2_X: 100},
				CPUs: []event.CPUStats{{Events: 500, Dropped: 100}}, Programs: []event.ProgramStats{{Name: "sys_exit", Runs: 4, Time: 1000}}},
			State: host.Stats{Threads: 12}, Files: []agent.File{{Name: "/etc/r.yaml", SHA256: "ab"}},
			Rules: []agent.RuleMatches{{Rule: &rule.Rule{Name: "Read it: now"}, Matches: 3}, {Rule: &rule.Rule{Name: "never"}}},
		},
		Process: Process{CPU: 0.5, RSS: 3 << 20, CgroupMemory: 5 << 20}, Machine: Machine{CPU: 1, CPUIdle: 3},
		Nets:   []Net{{Name: "eth0", IPv4: []string{"10.0.0.1", "10.0.0.2"}}},
		Before: &Sample{Time: at.Add(5 * time.Second), Agent: agent.Stats{Source: event.Stats{Events: 300, Dropped: 0}}},
	}
}

func TestFieldsAreThoseOfFalcosSnapshot(t *testing.T) {
	values := func(o FieldOptions) map[string]any {
		out := map[string]any{}
		for _, f := range sample().Fields(o) {
			var v any
			if err := json.Unmarshal(f.JSON, &v); err != nil {
				t.Fatalf("%s: %v", f.Key, err)
			}
			if out[f.Key] != nil {
				t.Errorf("%s is there twice", f.Key)
			}
			out[f.Key] = v
		}
		return out
	}
	got := values(FieldOptions{Groups: AllGroups, Megabytes: true})
	for k, v := range map[string]any{
		"evt.hostname": "h", "evt.source": "syscall", "falco.version": "1.2.3", "falco.kernel_release": "6.1",
		"falco.duration_sec": 10.0, "falco.host_num_cpus": 4.0, "falco.num_evts": 500.0, "falco.num_evts_prev": 300.0,
		"falco.evts_rate_sec": 40.0, "falco.sha256_rules_file.r.yaml": "ab", "falco.rules.matches_total": 3.0,
		"falco.rules.Read_it:_now": 3.0, "falco.cpu_usage_perc": 5.0, "falco.memory_rss_mb": 3.0,
		"falco.container_memory_used_mb": 5.0, "falco.host_cpu_usage_perc": 25.0, "falco.n_threads": 12.0,
		"scap.n_evts": 600.0, "scap.n_drops": 100.0, "scap.n_drops_perc": 33.3, "scap.n_drops_buffer_open_exit": 100.0,
		"scap.evts_drop_rate_sec": 20.0, "scap.engine_name": "modern_bpf",
		"scap.n_evts_cpu_0": 600.0, "scap.n_drops_cpu_0": 100.0, "scap.sys_exit.run_cnt": 4.0, "scap.sys_exit.avg_time_ns": 250.0,
		"falco.host_netinfo.interfaces.eth0.protocols.ipv4.addresses": "10.0.0.1,10.0.0.2",
		"falco.rules.never": nil, "falco.n_fds": nil, // 0 is left out
	} {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
	got = values(FieldOptions{Groups: State, Empty: true})
	if got["falco.n_fds"] != 0.0 || got["falco.memory_rss_mb"] != nil || got["scap.n_evts"] != nil {
		t.Error("groups or empty values are wrong")
	}
	if got := values(FieldOptions{Groups: Resources}); got["falco.memory_rss_kb"] != 3072.0 || got["falco.container_memory_used_bytes"] != 5.0*(1<<20) {
		t.Errorf("native units: %v", got)
	}
}

func TestALineOfTheFileIsJSON(t *testing.T) {
	line := string(sample().AppendLine(nil, FieldOptions{Groups: AllGroups}))
	var v struct {
		Fields map[string]any `json:"output_fields"`
		Sample int            `json:"sample"`
	}
	if err := json.Unmarshal([]byte(line), &v); err != nil || v.Sample != 2 || v.Fields["evt.hostname"] != "h" || !strings.HasSuffix(line, "}\n") {
		t.Errorf("%v: %s", err, line)
	}
	a := sample().Alert(FieldOptions{Groups: AllGroups})
	if a.Rule != SnapshotRule || a.Message != "Falco metrics snapshot" || a.Priority != rule.Informational || a.Source != "internal" {
		t.Errorf("%+v", a)
	}
}

func TestNumbersOfThisProcessAreRead(t *testing.T) {
	p, m := readProcess(), readMachine()
	if p.RSS == 0 || p.Virtual < p.RSS || p.PSS == 0 || p.Threads == 0 || p.OpenFDs == 0 {
		t.Errorf("%+v", p)
	}
	if m.CPU <= 0 || m.CPUIdle <= 0 || m.MemoryUsed == 0 || m.ProcsRunning == 0 || m.OpenFDs == 0 {
		t.Errorf("%+v", m)
	}
}
