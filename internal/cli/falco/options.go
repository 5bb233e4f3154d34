package falco

import (
	"fmt"
	"strconv"
	"strings"
)

// options are those of the command line.
type options struct {
	help           bool
	config         string // "" if not given
	configSchema   bool
	ruleSchema     bool
	disableSources []string
	enableSources  []string
	dryRun         bool
	ignored        bool
	describe       bool
	describeRule   string
	list           bool
	listSource     string
	listEvents     bool
	format         string // "" if not given
	markdown       bool
	namesOnly      bool
	listPlugins    bool
	pluginInfo     string
	seconds        int
	settings       []string
	print          string
	pidfile        string
	rules          []string
	support        bool
	unbuffered     bool
	validate       []string
	verbose        bool
	version        bool
	pageSize       bool
}

// option is one that the command line may have. Exactly one of the targets is set.
type option struct {
	short, long string
	value       string // what the help calls its value; in brackets if it can be left out
	help        string

	flag *bool
	text *string
	list *[]string
	num  *int
}

func (o *options) table() []option {
	return []option{
		{short: "h", long: "help", flag: &o.help, help: "Print this help and exit."},
		{short: "c", value: "PATH", text: &o.config, help: "Configuration file (default: " + defaultConfig + ")."},
		{long: "config-schema", flag: &o.configSchema, help: "Print the JSON schema of the configuration and exit."},
		{long: "rule-schema", flag: &o.ruleSchema, help: "Print the JSON schema of rules files and exit."},
		{long: "disable-source", value: "SOURCE", list: &o.disableSources,
			help: "Turn an event source off; repeatable; not with --enable-source."},
		{long: "enable-source", value: "SOURCE", list: &o.enableSources,
			help: "Turn only this event source on; repeatable; not with --disable-source."},
		{long: "dry-run", flag: &o.dryRun, help: "Do everything but open outputs, serve, and process events."},
		{short: "i", flag: &o.ignored, help: "Print the system calls that are ignored unless base_syscalls.all is set, and exit."},
		{short: "L", flag: &o.describe,
			help: "Describe all rules, macros and lists and exit: in a table, or with json_output=true as JSON."},
		{short: "l", value: "RULE", text: &o.describeRule, help: "Describe the rule of that name and exit."},
		{long: "list", value: "[SOURCE]", text: &o.listSource, flag: &o.list,
			help: "List the fields of all event sources, or of one, and exit."},
		{long: "list-events", flag: &o.listEvents, help: "List the event types with their parameters and exit."},
		{long: "format", value: "FORMAT", text: &o.format, help: "Form of the lists: text, markdown or json (default: text)."},
		{long: "markdown", flag: &o.markdown, help: "Deprecated: --format markdown."},
		{short: "N", flag: &o.namesOnly, help: "With --list, print the names only."},
		{long: "list-plugins", flag: &o.listPlugins, help: "List the plugins that are loaded and exit."},
		{long: "plugin-info", value: "PLUGIN", text: &o.pluginInfo, help: "Describe a plugin and exit."},
		{short: "M", value: "SECONDS", num: &o.seconds, help: "Stop after that much time of events; 0 is never (default: 0)."},
		{short: "o", long: "option", value: "KEY=VAL", list: &o.settings,
			help: "Set a key of the configuration; repeatable. KEY is a.b, list[0], or list[] for a new element."},
		{short: "p", long: "print", value: "FORMAT", text: &o.print,
			help: "Deprecated: append the format to the outputs of all rules; see append_output."},
		{short: "P", long: "pidfile", value: "PATH", text: &o.pidfile, help: "Write the process id to the file."},
		{short: "r", value: "PATH", list: &o.rules,
			help: "Rules file, or folder of them; repeatable; in place of rules_files in the configuration."},
		{long: "support", flag: &o.support, help: "Print what the report of a problem needs, as JSON, and exit."},
		{short: "U", long: "unbuffered", flag: &o.unbuffered, help: "Write each line of the outputs at once."},
		{short: "V", long: "validate", value: "FILE", list: &o.validate, help: "Check a rules file and exit; repeatable."},
		{short: "v", flag: &o.verbose, help: "Print statistics of the state to standard error at the end."},
		{long: "version", flag: &o.version, help: "Print the versions and exit."},
		{long: "page-size", flag: &o.pageSize, help: "Print the size of a page of memory and exit."},
	}
}

const defaultConfig = "/etc/falco/falco.yaml"

func (o *option) optional() bool { return strings.HasPrefix(o.value, "[") }

// set stores a value of the option.
func (o *option) set(name, value string) error {
	if o.flag != nil {
		*o.flag = true
	}
	switch {
	case o.text != nil:
		*o.text = value
	case o.list != nil:
		*o.list = append(*o.list, value)
	case o.num != nil:
		n, err := strconv.Atoi(value)
		if err != nil {
			return worded("Argument '%s' failed to parse", value)
		}
		*o.num = n
	case o.value == "" && value != "":
		return worded("Option '%s' does not take an argument", name)
	}
	return nil
}

// parseOptions reads the command line. Arguments that belong to no option are ignored.
func parseOptions(args []string) (*options, error) {
	o := &options{}
	p := parser{table: o.table(), args: args}
	for len(p.args) > 0 {
		arg := p.args[0]
		p.args = p.args[1:]
		var err error
		switch {
		case arg == "--":
			p.args = nil
		case strings.HasPrefix(arg, "--"):
			err = p.long(arg[2:])
		case len(arg) > 1 && arg[0] == '-':
			err = p.short(arg[1:])
		}
		if err != nil {
			return nil, err
		}
	}
	return o, o.check()
}

// parser walks over the arguments.
type parser struct {
	table []option
	args  []string // not looked at yet
}

func (p *parser) find(match func(*option) bool) *option {
	for i := range p.table {
		if match(&p.table[i]) {
			return &p.table[i]
		}
	}
	return nil
}

func (p *parser) long(arg string) error {
	name, value, attached := strings.Cut(arg, "=")
	o := p.find(func(o *option) bool { return name != "" && o.long == name })
	if o == nil {
		return worded("Option '%s' does not exist", name)
	}
	return p.apply(o, name, value, attached)
}

// short reads letters, of which the last may take a value: -iv, -rFILE, -r FILE.
func (p *parser) short(letters string) error {
	for i := range len(letters) {
		name := letters[i : i+1]
		o := p.find(func(o *option) bool { return o.short == name })
		if o == nil {
			return worded("Option '%s' does not exist", name)
		}
		if o.value != "" {
			rest := letters[i+1:]
			return p.apply(o, name, rest, rest != "")
		}
		if err := o.set(name, ""); err != nil {
			return err
		}
	}
	return nil
}

// apply sets an option to the value that is attached to it or follows it.
func (p *parser) apply(o *option, name, value string, attached bool) error {
	switch {
	case o.value == "" || attached:
	case len(p.args) > 0 && !(o.optional() && strings.HasPrefix(p.args[0], "-")):
		value, p.args = p.args[0], p.args[1:]
	case !o.optional():
		return worded("Option '%s' is missing an argument", name)
	}
	return o.set(name, value)
}

func (o *options) check() error {
	switch {
	case o.markdown && o.format != "":
		return worded("You can not specify both --markdown and --format")
	case len(o.disableSources) > 0 && len(o.enableSources) > 0:
		return worded("You can not mix --enable-source and --disable-source")
	case o.seconds < 0:
		return worded("The number of seconds of -M must not be negative")
	}
	switch {
	case o.markdown:
		o.format = formatMarkdown
	case o.format == "":
		o.format = formatText
	case o.format != formatText && o.format != formatMarkdown && o.format != formatJSON:
		return worded("Unknown format '%s': it must be text, markdown or json", o.format)
	}
	return nil
}

// helpText lists the options.
func helpText() string {
	var b strings.Builder
	b.WriteString("Rollcage in the place of Falco " + falcoVersion + "\n\nUsage:\n  falco [OPTION...]\n\n")
	for _, o := range new(options).table() {
		left := "    "
		if o.short != "" {
			left = "-" + o.short + "  "
		}
		if o.short != "" && o.long != "" {
			left = "-" + o.short + ", "
		}
		if o.long != "" {
			left += "--" + o.long
		}
		if o.value != "" {
			left += " " + o.value
		}
		fmt.Fprintf(&b, "  %-31s %s\n", strings.TrimRight(left, " "), o.help)
	}
	return b.String()
}
