// Package falco is the front door for those who come from Falco: it takes the
// command line and the configuration of the falco command, version 0.44.1, and
// does what they ask for with Rollcage's own source, state, rules and outputs.
//
// What is printed, the codes, the shapes and the exit codes are those of the
// original, so that scripts and dashboards go on working; docs/falco.md says
// what differs. [Main] runs the command. A configuration is read into a tree
// of YAML (tree.go), which included files and settings of the command line
// change, and then into typed values with defaults (config.go).
package falco

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"rollcage/internal/detect/rule"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
)

// command is one run of the falco command.
type command struct {
	opts   *options
	args   []string
	own    string // Rollcage's version
	stdout io.Writer
	stderr io.Writer

	tree  *tree
	files []configFile
	*config
	log *logger
}

// Main runs the falco command with its arguments, the program's name left out,
// and returns the exit code. version is that of Rollcage.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer, version string) int {
	c := &command{args: args, own: version, stdout: stdout, stderr: stderr}
	if err := c.run(ctx); err != nil {
		fmt.Fprintf(stderr, "Error: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// run does what is asked for. The first action that applies ends the run.
func (c *command) run(ctx context.Context) error {
	opts, err := parseOptions(c.args)
	if err != nil {
		return err
	}
	c.opts = opts
	switch {
	case opts.help:
		return c.say(helpText())
	case opts.configSchema:
		return c.say(string(configSchema.text))
	case opts.ruleSchema:
		return c.say(string(rulesSchema.text))
	case opts.ignored:
		printIgnored(c.stdout)
		return nil
	case opts.listEvents:
		return listEvents(c.stdout, opts.format)
	}
	haveConfig, err := c.loadConfig()
	if err != nil {
		return err
	}
	defer c.log.close()
	switch {
	case opts.version && c.jsonOutput:
		return writeJSON(c.stdout, currentVersions(c.own))
	case opts.version:
		return c.say(currentVersions(c.own).text())
	case opts.pageSize:
		return c.say(fmt.Sprintln(os.Getpagesize()))
	case !haveConfig:
		return worded("You must create a config file at %s or by passing -c", defaultConfig)
	}
	return c.runConfigured(ctx)
}

// runConfigured does what needs a configuration file.
func (c *command) runConfigured(ctx context.Context) error {
	opts := c.opts
	switch {
	case opts.pluginInfo != "":
		return c.describePlugin(opts.pluginInfo)
	case opts.listPlugins:
		return c.say(fmt.Sprintf("%d Plugins Loaded:\n\n", 0))
	case opts.list:
		return listFields(c.stdout, opts)
	}
	c.announce()
	c.warnOfConfig()
	if err := c.selectSources(); err != nil {
		return err
	}
	if len(opts.validate) > 0 {
		return c.validateRules()
	}
	if len(c.rulesPaths()) == 0 {
		return worded("You must specify at least one rules file/directory via -r or a rules_file entry in falco.yaml")
	}
	loaded, err := c.loadRules()
	switch {
	case err != nil:
		return err
	case opts.describe || opts.describeRule != "":
		return c.describe(loaded.set)
	case opts.support:
		return c.printSupport(loaded)
	}
	return c.detect(ctx, loaded)
}

func (c *command) say(text string) error {
	_, err := io.WriteString(c.stdout, text)
	return err
}

// loadConfig reads the configuration. It reports whether there is a file.
func (c *command) loadConfig() (found bool, err error) {
	t, files, err := readConfig(c.opts)
	found = err == nil
	if err != nil && (!errors.Is(err, errNoConfig) || t == nil) {
		return false, err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 1 {
		return false, joined.Unwrap()[0] // a setting is wrong
	}
	c.tree, c.files = t, files
	if c.config, err = decode(t); err != nil {
		return false, err
	}
	c.log = newLogger(c.config, c.stderr)
	return found, nil
}

// announce logs who runs with which configuration.
func (c *command) announce() {
	c.log.logf(logInfo, "Falco version: %s (%s)", falcoVersion, machineName())
	c.log.logf(logInfo, "Rollcage %s does the work", c.own)
	c.log.logf(logInfo, "Falco initialized with configuration files:")
	for _, f := range c.files {
		c.log.logf(logInfo, "   %s | schema validation: %s", f.path, f.schema)
	}
	if m := thisMachine(); m.Version != "" {
		c.log.logf(logInfo, "System info: %s version %s %s", m.SysName, m.Release, m.Version)
	}
}

func machineName() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// warnOfConfig tells what of the configuration does not apply to Rollcage.
func (c *command) warnOfConfig() {
	if c.engine == engineKmod {
		c.log.logf(logWarning, "engine.kind kmod: Rollcage has no kernel module and watches with its own eBPF programs, as with modern_ebpf")
	}
	for _, p := range c.loaded {
		if p != containerPlugin {
			c.log.logf(logWarning, "plugin '%s' is not loaded: Rollcage runs no plugins; rules of its event source are left out", p)
		}
	}
	if c.opts.print != "" {
		c.log.logf(logWarning, "-p/--print is deprecated: use append_output in the configuration")
	}
	for _, key := range notApplicable {
		if c.tree.has(key.key) {
			c.log.logf(logDebug, "%s has no effect: %s", key.key, key.why)
		}
	}
	for _, g := range noMetrics {
		if c.metrics.enabled && c.metrics.groups[g.key] && c.tree.has("metrics."+g.key) {
			c.log.logf(logWarning, "metrics.%s has no effect: %s", g.key, g.why)
		}
	}
}

// noMetrics are the groups of metrics about what is not there.
var noMetrics = []struct{ key, why string }{
	{"jemalloc_stats_enabled", "Rollcage does not use jemalloc; the memory that it has is in resource_utilization_enabled"},
	{"kernel_iter_event_counters_enabled", "what iterators read at the start is part of the state, which state_counters_enabled counts"},
	{"plugins_metrics_enabled", "Rollcage runs no plugins"},
}

// notApplicable are keys of the configuration for what is not there.
var notApplicable = []struct{ key, why string }{
	{"container_engines", "Rollcage finds the container runtimes itself"},
	{"engine.kmod", "Rollcage has no kernel module"},
	{"engine.modern_ebpf.disable_iterators", "the processes that run already are read from the kernel and /proc as needed"},
	{"engine.modern_ebpf.drop_failed_exit", "failed calls are seen"},
	{"engine.modern_ebpf.cpus_for_each_buffer", "each CPU has rings of its own"},
	{"falco_libs.thread_table_size", "the tables of processes grow as needed within bounds"},
	{"libs_logger", "there is one log"},
	{"plugins_hostinfo", "Rollcage runs no plugins"},
	{"syscall_event_timeouts", "a live source that is silent is no fault here"},
	{"webserver.threadiness", "requests are served as they come"},
}

// selectSources checks what event sources are asked for. A capture is read whatever they are.
func (c *command) selectSources() error {
	if c.engine == engineReplay {
		return nil
	}
	for _, list := range []struct {
		word  string
		names []string
	}{{"enabling", c.opts.enableSources}, {"disabling", c.opts.disableSources}} {
		for _, s := range list.names {
			if s != syscallSource {
				return worded("Attempted %s unknown event source: %s", list.word, s)
			}
		}
	}
	if slices.Contains(c.opts.disableSources, syscallSource) {
		return worded("Must enable at least one event source")
	}
	return nil
}

// describePlugin would describe a plugin; the only one that Rollcage knows is the one whose work it does.
func (c *command) describePlugin(name string) error {
	base := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "lib"), ".so")
	if base == containerPlugin {
		return c.say("Name: container\nDescription: Facts about containers; part of Rollcage, no library is loaded\n" +
			"Contact: see Rollcage\nVersion: " + rule.EngineVersion.String() + "\nCapabilities:\n  - Field Extraction\n" +
			"No init config schema available, plugin does not need configuration\nNo suggested open params available: plugin has not been configured\n")
	}
	return worded("Can't find plugin and print its info: %s: Rollcage runs no plugins", name)
}

// worded returns an error in the words of the original, which begin with a capital.
func worded(format string, args ...any) error { return fmt.Errorf(format, args...) }
