package metrics

import (
	"math"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
)

// SnapshotRule is the name of the alert that carries metrics.
const SnapshotRule = "Falco internal: metrics snapshot"

// engineName is what Falco calls its BPF probe of today, the nearest to ours.
const engineName = "modern_bpf"

// FieldOptions say which fields there are.
type FieldOptions struct {
	Groups Group
	// Megabytes turns memory from kB, or bytes for that of the container, to MB.
	Megabytes bool
	// Empty keeps numbers that are 0.
	Empty bool
}

// Fields returns the sample as Falco names it in its alert and file.
func (s *Sample) Fields(o FieldOptions) []alert.Field {
	f := &fields{o: o}
	f.text("evt.hostname", s.Host)
	f.text("evt.source", "syscall")
	f.integer("evt.time", uint64(s.Time.UnixNano()))
	f.text("falco.version", s.Version)
	f.integer("falco.start_ts", uint64(s.Agent.Started.UnixNano()))
	f.integer("falco.reload_ts", uint64(reloaded(s).UnixNano()))
	f.text("falco.kernel_release", s.Kernel)
	f.integer("falco.host_boot_ts", uint64(s.Boot.UnixNano()))
	for _, file := range s.Agent.Files {
		f.text("falco.sha256_rules_file."+baseName(file.Name), file.SHA256)
	}
	for _, file := range s.Agent.Configs {
		f.text("falco.sha256_config_file."+baseName(file.Name), file.SHA256)
	}
	for _, n := range s.Nets {
		f.addresses(n.Name, "ipv4", n.IPv4)
		f.addresses(n.Name, "ipv6", n.IPv6)
	}
	for i := range metrics {
		if m := &metrics[i]; m.name != "" && m.group&(o.Groups|Base) != 0 {
			f.metric(m, m.get(s))
		}
	}
	if o.Groups&Rules != 0 {
		f.count("falco.rules.matches_total", matches(s))
		for _, r := range s.Agent.Rules {
			f.count("falco.rules."+labelName(r.Name), r.Matches)
		}
	}
	if o.Groups&Kernel != 0 {
		f.text("scap.engine_name", engineName)
		f.count("scap.n_drops_buffer_total", drops(s))
		by := DropsByKind(s.Agent.Source.Drops)
		for _, k := range DropKinds {
			f.count("scap.n_drops_buffer_"+k+"_exit", by[k])
		}
	}
	f.kernel(s)
	return f.out
}

// kernel adds what the kernel side counts by CPU, and for each of its programs.
func (f *fields) kernel(s *Sample) {
	if f.o.Groups.cpus() {
		for i, c := range s.Agent.Source.CPUs {
			cpu := strconv.Itoa(i)
			f.count("scap.n_evts_cpu_"+cpu, c.Events+c.Dropped)
			f.count("scap.n_drops_cpu_"+cpu, c.Dropped)
		}
	}
	if f.o.Groups&Programs != 0 {
		for _, p := range s.Agent.Source.Programs {
			f.count("scap."+p.Name+".run_cnt", p.Runs)
			f.count("scap."+p.Name+".run_time_ns", p.Time)
			f.count("scap."+p.Name+".avg_time_ns", p.Time/max(p.Runs, 1))
		}
	}
}

// Alert returns the snapshot alert.
func (s *Sample) Alert(o FieldOptions) *alert.Alert {
	a := alert.Internal(s.Time, SnapshotRule, rule.Informational, "Falco metrics snapshot", nil)
	a.Fields = s.Fields(o)
	return a
}

// AppendLine appends the sample as a line of Falco's metrics file.
func (s *Sample) AppendLine(b []byte, o FieldOptions) []byte {
	b = append(b, `{"output_fields":{`...)
	for i, f := range s.Fields(o) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(field.AppendJSONString(b, f.Key), ':')
		b = append(b, f.JSON...)
	}
	b = append(b, `},"sample":`...)
	return append(strconv.AppendInt(b, int64(s.Num), 10), "}\n"...)
}

// reloaded is when the rules at work were loaded.
func reloaded(s *Sample) time.Time {
	if s.Agent.Reloaded.IsZero() {
		return s.Agent.Started
	}
	return s.Agent.Reloaded
}

// ruleLevel is how priorities are numbered as labels.
func ruleLevel(p rule.Priority) string { return strconv.Itoa(int(p)) }

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

type fields struct {
	o   FieldOptions
	out []alert.Field
}

func (f *fields) add(key string, json []byte) {
	f.out = append(f.out, alert.Field{Key: key, JSON: json})
}

func (f *fields) text(key, v string) { f.add(key, field.AppendJSONString(nil, v)) }

func (f *fields) integer(key string, v uint64) { f.add(key, strconv.AppendUint(nil, v, 10)) }

// count adds a number that may be left out.
func (f *fields) count(key string, v uint64) {
	if v != 0 || f.o.Empty {
		f.integer(key, v)
	}
}

func (f *fields) addresses(name, protocol string, list []string) {
	if len(list) > 0 {
		f.text("falco.host_netinfo.interfaces."+name+".protocols."+protocol+".addresses", strings.Join(list, ","))
	}
}

func (f *fields) metric(m *metric, v float64) {
	key := m.part + "." + m.name
	decimals := 0
	switch m.unit {
	case memory:
		v, decimals, key = f.memory(v, key)
	case percent:
		decimals = 1
		if !strings.HasSuffix(key, "_perc") {
			key += "_perc"
		}
	case seconds:
		key += "_sec"
		v = math.Floor(v)
	case rate:
		decimals = 1
	}
	if v == 0 && !f.o.Empty {
		return
	}
	scale := math.Pow10(decimals)
	if decimals > 0 {
		f.add(key, strconv.AppendFloat(nil, math.Round(v*scale)/scale, 'f', decimals, 64))
		return
	}
	f.integer(key, uint64(v))
}

func (f *fields) memory(v float64, key string) (float64, int, string) {
	switch {
	case f.o.Megabytes:
		return v / (1 << 20), 1, key + "_mb"
	case strings.HasPrefix(key, "falco.container_"):
		return v, 0, key + "_bytes"
	}
	return v / 1024, 0, key + "_kb"
}
