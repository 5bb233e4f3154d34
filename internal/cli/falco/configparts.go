package falco

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"rollcage/internal/respond/alert"
)

func (c *config) readOutputs(t *tree) error {
	o := outputsConfig{
		stdout: t.boolean("stdout_output.enabled", false), syslog: t.boolean("syslog_output.enabled", false),
		fileKeep: t.boolean("file_output.keep_alive", false), programKeep: t.boolean("program_output.keep_alive", false),
		timeout: t.milliseconds("output_timeout", 2*time.Second), capacity: t.number("outputs_queue.capacity", 0),
	}
	if t.boolean("file_output.enabled", false) {
		if o.file = t.text("file_output.filename", ""); o.file == "" {
			return worded("Error reading config file: file output enabled but no filename in configuration block")
		}
	}
	if t.boolean("program_output.enabled", false) {
		if o.program = t.text("program_output.program", ""); o.program == "" {
			return worded("Error reading config file: program output enabled but no program in configuration block")
		}
	}
	if t.boolean("http_output.enabled", false) {
		var err error
		if o.http, err = c.readHTTP(t); err != nil {
			return err
		}
	}
	if o.capacity < 0 {
		return worded("Error reading config file: outputs_queue.capacity must not be negative")
	}
	c.outputs = o
	return nil
}

func (c *config) readHTTP(t *tree) (*alert.HTTPOptions, error) {
	const key = "http_output."
	h := &alert.HTTPOptions{
		URL: t.text(key+"url", ""), UserAgent: t.text(key+"user_agent", "falcosecurity/falco"), Shape: c.shape,
		Compress: t.boolean(key+"compress_uploads", false), NoKeepAlive: !t.boolean(key+"keep_alive", false),
		Retries: t.number(key+"max_consecutive_timeouts", 5),
		TLS: alert.TLSOptions{
			Insecure: t.boolean(key+"insecure", false),
			CACert:   t.text(key+"ca_cert", ""), CABundle: t.text(key+"ca_bundle", ""), CAPath: t.text(key+"ca_path", "/etc/ssl/certs"),
		},
	}
	if h.URL == "" {
		return nil, worded("Error reading config file: http output enabled but no url in configuration block")
	}
	if h.Retries == 0 {
		h.Retries = -1
	}
	if t.boolean(key+"mtls", false) {
		h.TLS.ClientCert = t.text(key+"client_cert", "/etc/ssl/certs/client.crt")
		h.TLS.ClientKey = t.text(key+"client_key", "/etc/ssl/certs/client.key")
	}
	c.httpEcho = t.boolean(key+"echo", false)
	return h, nil
}

// The actions on lost events.
const (
	dropIgnore = "ignore"
	dropLog    = "log"
	dropAlert  = "alert"
	dropExit   = "exit"
)

func (c *config) readDrops(t *tree) error {
	d := dropsConfig{
		threshold: t.float("syscall_event_drops.threshold", .1),
		rate:      t.float("syscall_event_drops.rate", .03333), burst: t.float("syscall_event_drops.max_burst", 1),
		simulate: t.boolean("syscall_event_drops.simulate_drops", false),
	}
	if d.threshold < 0 || d.threshold > 1 {
		return worded("Error reading config file: syscall event drops threshold must be a double in the range [0, 1]")
	}
	for _, a := range t.texts("syscall_event_drops.actions") {
		switch a {
		case dropIgnore, dropLog, dropAlert, dropExit:
		default:
			return worded("Error reading config file: available actions for syscall event drops are %q, %q, %q and %q, not %q",
				dropIgnore, dropLog, dropAlert, dropExit, a)
		}
		if !slices.Contains(d.actions, a) {
			d.actions = append(d.actions, a)
		}
	}
	if slices.Contains(d.actions, dropIgnore) {
		for _, a := range []string{dropLog, dropAlert} {
			if slices.Contains(d.actions, a) {
				return worded("Error reading config file: syscall event drop action %q does not make sense with the %q action", a, dropIgnore)
			}
		}
	}
	if len(d.actions) == 0 {
		d.actions = []string{dropIgnore}
	}
	c.drops = d
	return nil
}

// metricsGroups are the keys that turn groups of metrics on, with their defaults.
var metricsGroups = []string{
	"rules_counters_enabled", "resource_utilization_enabled", "state_counters_enabled", "kernel_event_counters_enabled",
	"kernel_event_counters_per_cpu_enabled", "libbpf_stats_enabled", "plugins_metrics_enabled",
	"kernel_iter_event_counters_enabled", "jemalloc_stats_enabled",
}

func (c *config) readMetrics(t *tree) error {
	m := metricsConfig{
		enabled:     t.boolean("metrics.enabled", false),
		outputRule:  t.boolean("metrics.output_rule", false),
		outputFile:  t.text("metrics.output_file", ""),
		inMegabytes: t.boolean("metrics.convert_memory_to_mb", true), emptyValues: t.boolean("metrics.include_empty_values", false),
		groups: map[string]bool{},
	}
	for _, g := range metricsGroups {
		m.groups[g] = t.boolean("metrics."+g, true)
	}
	c.metrics = m
	if !m.enabled {
		return nil
	}
	text := t.text("metrics.interval", "5000")
	interval, ok := parseInterval(text)
	if !ok {
		return worded("Error reading config file: metrics interval \"%s\" must be a time with its units, for instance 30s or 1h30m", text)
	}
	if interval < 100*time.Millisecond {
		return worded("Error reading config file: metrics interval must have a minimum value of 100ms")
	}
	if !m.outputRule && m.outputFile == "" && !t.boolean("webserver.prometheus_metrics_enabled", false) {
		return worded("Error reading config file: metrics are enabled with none of output_rule, output_file, webserver.prometheus_metrics_enabled")
	}
	c.metrics.interval = interval
	return nil
}

var intervalForm = regexp.MustCompile(`^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$`)

// parseInterval reads a time such as 1h30m: units y w d h m s ms in falling order.
func parseInterval(s string) (time.Duration, bool) {
	m := intervalForm.FindStringSubmatch(s)
	if m == nil || s == "" {
		return 0, false
	}
	const day = 24 * time.Hour
	var sum time.Duration
	for i, unit := range []time.Duration{365 * day, 7 * day, day, time.Hour, time.Minute, time.Second, time.Millisecond} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+1], 10, 32)
		if err != nil {
			return 0, false
		}
		sum += time.Duration(n) * unit
	}
	return sum, true
}
