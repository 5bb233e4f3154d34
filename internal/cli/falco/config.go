package falco

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
)

// The kinds of engines.
const (
	engineReplay   = "replay"
	engineNoDriver = "nodriver"
	engineEBPF     = "modern_ebpf"
	engineKmod     = "kmod"
)

// config is the configuration with its defaults.
type config struct {
	rulesFiles  []string
	selections  []rule.Selection
	priority    rule.Priority
	matchAll    bool
	appendAll   []rule.AppendOutput
	staticField map[string]string

	engine      string
	captureFile string
	bufPreset   int
	cpusPerRing int
	snaplen     int

	jsonOutput bool
	shape      alert.Shape
	iso8601    bool
	base64     bool
	buffered   bool
	outputs    outputsConfig
	httpEcho   bool

	watchFiles bool
	logStderr  bool
	logSyslog  bool
	logLevel   severity

	drops    dropsConfig
	syscalls syscallsConfig
	capture  captureConfig
	metrics  metricsConfig
	web      webConfig
	plugins  []pluginConfig
	loaded   []string // plugins that are to be loaded
}

type outputsConfig struct {
	stdout, syslog bool
	file           string // "" for none
	fileKeep       bool
	program        string
	programKeep    bool
	http           *alert.HTTPOptions
	timeout        time.Duration
	capacity       int // 0 is without bound
}

type dropsConfig struct {
	actions   []string
	threshold float64
	rate      float64 // actions a second
	burst     float64
	simulate  bool
}

type syscallsConfig struct {
	custom []string
	repair bool
	all    bool
}

type captureConfig struct {
	enabled  bool
	prefix   string
	all      bool // on every rule, not only those that ask for it
	duration time.Duration
	maxBytes int64
}

type metricsConfig struct {
	enabled     bool
	interval    time.Duration
	outputRule  bool
	outputFile  string
	groups      map[string]bool
	inMegabytes bool
	emptyValues bool
}

type webConfig struct {
	enabled    bool
	address    string
	port       int
	healthz    string
	prometheus bool
	tls        bool
	cert       string
}

type pluginConfig struct{ name, library string }

// decode reads a configuration. Unknown keys are ignored.
func decode(t *tree) (*config, error) {
	c := &config{
		engine:      t.text("engine.kind", engineKmod),
		captureFile: t.text("engine.replay.capture_file", ""),
		cpusPerRing: t.number("engine.modern_ebpf.cpus_for_each_buffer", 2),
		snaplen:     t.number("falco_libs.snaplen", 80),
		jsonOutput:  t.boolean("json_output", false),
		iso8601:     t.boolean("time_format_iso_8601", false),
		base64:      t.boolean("buffer_format_base64", false),
		buffered:    t.boolean("buffered_outputs", false),
		watchFiles:  t.boolean("watch_config_files", true),
		logStderr:   t.boolean("log_stderr", false),
		logSyslog:   t.boolean("log_syslog", true),
	}
	c.shape = alert.Shape{
		JSON: c.jsonOutput, ISO8601: c.iso8601,
		Output:  t.boolean("json_include_output_property", true),
		Message: t.boolean("json_include_message_property", false),
		Fields:  t.boolean("json_include_output_fields_property", true),
		Tags:    t.boolean("json_include_tags_property", true),
	}
	for _, read := range []func(*tree) error{
		c.readEngine, c.readLog, c.readRules, c.readAppend, c.readStatic, c.readOutputs, c.readDrops, c.readCapture,
		c.readMetrics, c.readWeb, c.readPlugins,
	} {
		if err := read(t); err != nil {
			return c, err
		}
	}
	c.syscalls = syscallsConfig{
		custom: t.texts("base_syscalls.custom_set"),
		repair: t.boolean("base_syscalls.repair", false),
		all:    t.boolean("base_syscalls.all", false),
	}
	return c, nil
}

func (c *config) readEngine(t *tree) error {
	preset := 4
	switch c.engine {
	case engineReplay:
		if c.captureFile == "" {
			return worded("Error reading config file: engine.kind is 'replay' but no engine.replay.capture_file specified")
		}
	case engineEBPF, engineKmod:
		preset = t.number("engine."+c.engine+".buf_size_preset", preset)
	case engineNoDriver:
	default:
		return worded("Error reading config file: engine.kind '%s' is not a valid kind: it must be %s, %s, %s or %s",
			c.engine, engineKmod, engineEBPF, engineReplay, engineNoDriver)
	}
	if preset < 1 || preset > 10 {
		return worded("Error reading config file: engine.%s.buf_size_preset must be from 1 to 10, it is %d", c.engine, preset)
	}
	c.bufPreset = preset
	return nil
}

func (c *config) readLog(t *tree) error {
	word := t.text("log_level", "info")
	level, ok := parseSeverity(word)
	if !ok {
		return worded("Unknown log level %s--must be one of %s", word, strings.Join(severityNames, ", "))
	}
	c.logLevel = level
	return nil
}

func (c *config) readRules(t *tree) error {
	if t.has("rules_file") && t.has("rules_files") {
		return worded("Error reading config file: both 'rules_files' and 'rules_file' keys set")
	}
	for _, f := range append(t.texts("rules_file"), t.texts("rules_files")...) {
		if _, err := os.Stat(f); err == nil {
			c.rulesFiles = append(c.rulesFiles, f)
		}
	}
	word := t.text("priority", "debug")
	p, ok := rule.ParsePriority(word)
	if !ok {
		return worded("Unknown priority \"%s\"--must be one of emergency, alert, critical, error, warning, notice, informational, debug", word)
	}
	c.priority = p
	switch word := t.text("rule_matching", "first"); strings.ToLower(word) {
	case "first":
	case "all":
		c.matchAll = true
	default:
		return worded("Unknown rule matching strategy \"%s\"--must be one of first, all", word)
	}
	for _, e := range t.elements("rules") {
		for _, op := range []string{"enable", "disable"} {
			n := child(e, op)
			if n == nil {
				continue
			}
			s := rule.Selection{Enable: op == "enable", Rule: scalarText(child(n, "rule"), ""), Tag: scalarText(child(n, "tag"), "")}
			// An entry with both is applied by its rule, then by its tag.
			for _, one := range []rule.Selection{{Enable: s.Enable, Rule: s.Rule}, {Enable: s.Enable, Tag: s.Tag}} {
				if one.Rule != "" || one.Tag != "" {
					c.selections = append(c.selections, one)
				}
			}
		}
	}
	return nil
}

func (c *config) readAppend(t *tree) error {
	for _, e := range t.elements("append_output") {
		match := child(e, "match")
		a := rule.AppendOutput{
			Source: scalarText(child(match, "source"), ""), Rule: scalarText(child(match, "rule"), ""), Tags: scalarTexts(child(match, "tags")),
			Output: scalarText(child(e, "extra_output"), ""),
		}
		a.Suggested, _ = parseBool(scalarText(child(e, "suggested_output"), ""))
		fields, err := extraFields(child(e, "extra_fields"))
		if err != nil {
			return err
		}
		a.Fields = fields
		c.appendAll = append(c.appendAll, a)
	}
	return nil
}

// extraFields reads names of fields, and name: format.
func extraFields(n *yaml.Node) ([]rule.ExtraField, error) {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil, nil
	}
	var out []rule.ExtraField
	for _, c := range n.Content {
		var f rule.ExtraField
		switch {
		case c.Kind == yaml.ScalarNode:
			f.Key = c.Value
		case c.Kind == yaml.MappingNode && len(c.Content) == 2:
			f = rule.ExtraField{Key: c.Content[0].Value, Format: c.Content[1].Value}
		default:
			return nil, worded("Error reading config file: extra_fields takes names of fields and mappings of one name to a format")
		}
		if slices.ContainsFunc(out, func(o rule.ExtraField) bool { return o.Key == f.Key }) {
			return nil, worded("Error reading config file: extra_fields has the key '%s' twice", f.Key)
		}
		out = append(out, f)
	}
	return out, nil
}

func (c *config) readStatic(t *tree) error {
	n := t.get("static_fields")
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	c.staticField = map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		c.staticField[n.Content[i].Value] = expand(n.Content[i+1].Value, os.LookupEnv)
	}
	return nil
}

func (c *config) readCapture(t *tree) error {
	c.capture = captureConfig{
		enabled: t.boolean("capture.enabled", false), prefix: t.text("capture.path_prefix", "/tmp/falco"),
		duration: t.milliseconds("capture.default_duration", 5*time.Second),
		maxBytes: int64(t.number("capture.max_file_size_mb", 0)) << 20,
	}
	switch mode := t.text("capture.mode", "rules"); mode {
	case "rules":
	case "all_rules":
		c.capture.all = true
	default:
		return worded("Error reading config file: capture.mode '%s' must be rules or all_rules", mode)
	}
	return nil
}

func (c *config) readWeb(t *tree) error {
	c.web = webConfig{
		enabled: t.boolean("webserver.enabled", false), address: t.text("webserver.listen_address", "0.0.0.0"),
		port: t.number("webserver.listen_port", 8765), healthz: t.text("webserver.k8s_healthz_endpoint", "/healthz"),
		prometheus: t.boolean("webserver.prometheus_metrics_enabled", false),
		tls:        t.boolean("webserver.ssl_enabled", false), cert: t.text("webserver.ssl_certificate", "/etc/falco/falco.pem"),
	}
	if _, err := netip.ParseAddr(c.web.address); c.web.enabled && err != nil {
		return worded("Error reading config file: webserver listen address \"%s\" is not an IP address", c.web.address)
	}
	return nil
}

// containerPlugin is the plugin whose work Rollcage does itself.
const containerPlugin = "container"

func (c *config) readPlugins(t *tree) error {
	for _, e := range t.elements("plugins") {
		c.plugins = append(c.plugins, pluginConfig{scalarText(child(e, "name"), ""), scalarText(child(e, "library_path"), "")})
	}
	if !t.has("load_plugins") {
		for _, p := range c.plugins {
			c.loaded = append(c.loaded, p.name)
		}
		return nil
	}
	c.loaded = t.texts("load_plugins")
	for _, name := range c.loaded {
		known := slices.ContainsFunc(c.plugins, func(p pluginConfig) bool { return p.name == name })
		if !known && name != containerPlugin {
			return worded("Cannot load plugin '%s': plugin config not found for given name", name)
		}
	}
	return nil
}
