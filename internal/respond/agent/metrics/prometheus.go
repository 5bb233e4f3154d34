package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Scheme names metrics for Prometheus.
type Scheme uint8

// The schemes.
const (
	// Native names have the prefix rollcage_.
	Native Scheme = iota
	// Falco names are those of Falco, falcosecurity_*.
	Falco
)

// falcoHelp is the help text of all of Falco's metrics.
const falcoHelp = "https://falco.org/docs/metrics/"

// Handler answers with a sample in Prometheus' text format.
func (r *Reader) Handler(scheme Scheme, groups Group) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(append([]prometheus.Collector{&collector{r, scheme, groups | Base}}, r.Others...)...)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		families, err := reg.Gather()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
				return // the client is gone
			}
		}
	})
}

// collector gives a sample of a reader to a registry.
type collector struct {
	reader *Reader
	scheme Scheme
	groups Group
}

// Describe says nothing, as labels depend on what is there.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	e := exposition{ch, c.scheme}
	s := c.reader.Read(nil)
	for i := range metrics {
		if m := &metrics[i]; m.group&c.groups != 0 {
			e.metric(m, s)
		}
	}
	if c.scheme == Falco {
		e.falco(s, c.groups)
	} else {
		e.native(s)
	}
}

// exposition writes metrics.
type exposition struct {
	ch     chan<- prometheus.Metric
	scheme Scheme
}

// label is a label with its value.
type label struct{ name, value string }

func (e exposition) add(name, help string, k kind, v float64, labels ...label) {
	names, values := make([]string, len(labels)), make([]string, len(labels))
	for i, l := range labels {
		names[i], values[i] = l.name, l.value
	}
	t := prometheus.GaugeValue
	if k == counter {
		t = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), t, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc(name, help, nil, nil), err)
	}
	e.ch <- m
}

// metric adds a row of the table.
func (e exposition) metric(m *metric, s *Sample) {
	if e.scheme == Native {
		if m.native != "" {
			e.add(m.native, m.help, m.kind, m.get(s))
		}
		return
	}
	// Samples stand alone here, so that what compares two of them makes no sense.
	if m.name == "" || m.unit == rate || strings.HasSuffix(m.name, "_prev") || m.name == "n_drops_perc" {
		return
	}
	v := m.get(s)
	name := "falcosecurity_" + m.part + "_" + m.name
	switch m.unit {
	case memory:
		name += "_bytes"
	case percent:
		name, v = name+"_ratio", v/100
	case seconds:
		name += "_seconds_total"
	default:
		name += "_total"
	}
	e.add(name, falcoHelp, m.kind, v)
}

// info adds a metric that tells something by its labels.
func (e exposition) info(name string, labels ...label) {
	e.add("falcosecurity_"+name+"_info", falcoHelp, gauge, 1, labels...)
}

// falco adds what has labels in Falco.
func (e exposition) falco(s *Sample, groups Group) {
	e.info("falco_version", label{"version", s.Version})
	e.info("falco_kernel_release", label{"kernel_release", s.Kernel})
	e.info("evt_hostname", label{"evt_hostname", s.Host})
	e.info("evt_source", label{"evt_source", "syscall"})
	for _, f := range s.Agent.Files {
		e.info("falco_sha256_rules_files", label{"file_name", f.Name}, label{"sha256", f.SHA256})
	}
	for _, f := range s.Agent.Configs {
		e.info("falco_sha256_config_files", label{"file_name", f.Name}, label{"sha256", f.SHA256})
	}
	e.add("falcosecurity_falco_start_timestamp_nanoseconds", falcoHelp, gauge, float64(s.Agent.Started.UnixNano()))
	e.add("falcosecurity_falco_reload_timestamp_nanoseconds", falcoHelp, gauge, float64(reloaded(s).UnixNano()))
	e.add("falcosecurity_falco_host_boot_timestamp_nanoseconds", falcoHelp, gauge, float64(s.Boot.UnixNano()))
	if groups&Rules != 0 {
		for _, r := range s.Agent.Rules {
			labels := []label{{"rule_name", r.Name}, {"priority", ruleLevel(r.Priority)}, {"source", r.Source}}
			for _, t := range r.Tags {
				labels = append(labels, label{"tag_" + labelName(t), "true"})
			}
			e.add("falcosecurity_falco_rules_matches_total", falcoHelp, counter, float64(r.Matches), unique(labels)...)
		}
	}
	if groups&Kernel != 0 {
		e.info("scap_engine_name", label{"engine_name", engineName}, label{"evt_source", "syscall"})
		by := DropsByKind(s.Agent.Source.Drops)
		for _, k := range DropKinds {
			e.add("falcosecurity_scap_n_drops_buffer_total", falcoHelp, counter, float64(by[k]), label{"dir", "exit"}, label{"drop", k})
		}
	}
	if groups.cpus() {
		for i, c := range s.Agent.Source.CPUs {
			cpu := label{"cpu", strconv.Itoa(i)}
			e.add("falcosecurity_scap_n_evts_cpu_total", falcoHelp, counter, float64(c.Events+c.Dropped), cpu)
			e.add("falcosecurity_scap_n_drops_cpu_total", falcoHelp, counter, float64(c.Dropped), cpu)
		}
	}
	if groups&Programs != 0 {
		for _, p := range s.Agent.Source.Programs {
			name := "falcosecurity_scap_" + labelName(p.Name)
			e.add(name+"_run_cnt_total", falcoHelp, counter, float64(p.Runs))
			e.add(name+"_run_time_nanoseconds_total", falcoHelp, counter, float64(p.Time))
			e.add(name+"_avg_time_nanoseconds", falcoHelp, gauge, float64(p.Time/max(p.Runs, 1)))
		}
	}
}

// native adds what has labels in our own scheme.
func (e exposition) native(s *Sample) {
	e.add("rollcage_version_info", "What runs.", gauge, 1, label{"version", s.Version}, label{"kernel", s.Kernel})
	for _, f := range slices.Concat(s.Agent.Files, s.Agent.Configs) {
		e.add("rollcage_file_info", "Files that rules and configuration were read from.", gauge, 1, label{"file", f.Name}, label{"sha256", f.SHA256})
	}
	for t, n := range s.Agent.Source.Drops {
		name := t.String()
		if i := t.Info(); i != nil {
			name = i.Enum
		}
		e.add("rollcage_events_dropped_by_type_total", "Events that were lost, by type.", counter, float64(n), label{"type", name})
	}
	for i, c := range s.Agent.Source.CPUs {
		cpu := label{"cpu", strconv.Itoa(i)}
		e.add("rollcage_cpu_events_total", "Events that were judged, by the CPU that they happened on.", counter, float64(c.Events), cpu)
		e.add("rollcage_cpu_events_dropped_total", "Events that were lost, by CPU.", counter, float64(c.Dropped), cpu)
	}
	for _, p := range s.Agent.Source.Programs {
		name := label{"program", p.Name}
		e.add("rollcage_bpf_runs_total", "Runs of a BPF program, while sysctl kernel.bpf_stats_enabled is 1.", counter, float64(p.Runs), name)
		e.add("rollcage_bpf_run_seconds_total", "Time that they took.", counter, float64(p.Time)/1e9, name)
	}
	for _, r := range s.Agent.Rules {
		e.add("rollcage_rule_matches_total", "How often a rule matched.", counter, float64(r.Matches),
			label{"rule", r.Name}, label{"priority", r.Priority.String()})
	}
	const reloads = "rollcage_reloads_total"
	e.add(reloads, "How often rules were loaded again.", counter, float64(s.Agent.Reloads), label{"outcome", "done"})
	e.add(reloads, "How often rules were loaded again.", counter, float64(s.Agent.ReloadsFailed), label{"outcome", "failed"})
	for _, o := range s.Outputs {
		const name, help = "rollcage_output_alerts_total", "What became of the alerts for an output."
		e.add(name, help, counter, float64(o.Sent), label{"output", o.Name}, label{"outcome", "delivered"})
		e.add(name, help, counter, float64(o.Failed), label{"output", o.Name}, label{"outcome", "failed"})
		e.add(name, help, counter, float64(o.Dropped), label{"output", o.Name}, label{"outcome", "dropped"})
		e.add("rollcage_output_waiting", "Alerts that wait for an output.", gauge, float64(o.Waiting), label{"output", o.Name})
	}
}

// labelName replaces what names of labels cannot hold.
func labelName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == ':' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}

// unique leaves out labels whose name was there before.
func unique(labels []label) []label {
	seen := map[string]bool{}
	out := labels[:0]
	for _, l := range labels {
		if !seen[l.name] {
			seen[l.name] = true
			out = append(out, l)
		}
	}
	return out
}
