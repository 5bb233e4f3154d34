package sysdig

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/chisel"
	"rollcage/internal/observe/capture"
)

// options are what a command line asks for.
type options struct {
	reads    []string // capture files; none for the live host
	write    string
	file     capture.WriterOptions
	fat      bool // keep what builds the state
	count    uint64
	duration uint64 // ns
	format   string // "" for the default
	preset   string // "", c or k
	time     field.TimeFormat
	json     bool
	buffer   field.BufferFormat
	buffers  int // how many forms of buffers were asked for
	snaplen  int
	services bool
	noUsers  bool
	runtimes []string // addresses of more container runtimes
	hidden   []string // commands whose events are left out

	verbose, summary, quiet, progress, display, debug bool
	unbuffered, filterProcesses, pageFaults           bool

	color   string // true, force or false
	listing string // what is to be listed instead of events
	long    bool   // with details
	name    string // of the chisel to describe

	chisels  []request
	filter   string
	warnings []string
}

// request is a chisel that is to be run.
type request struct {
	chisel *chisel.Chisel
	args   chisel.Values
}

// option is a flag.
type option struct {
	short byte
	long  string
	arg   string // what it takes, "" for nothing; in brackets if it can be left out
	doc   string // "" is not in the help
	set   func(o *options, arg string) error
}

// flag returns what sets a boolean.
func flag(b func(o *options) *bool) func(*options, string) error {
	return func(o *options, _ string) error { *b(o) = true; return nil }
}

// listing returns what asks for a list.
func listing(what string) func(*options, string) error {
	return func(o *options, _ string) error { o.listing = what; return nil }
}

// ignored returns what takes a flag that changes nothing here.
func ignored(flag, why string) func(*options, string) error {
	return func(o *options, _ string) error {
		o.warnings = append(o.warnings, flag+" is ignored: "+why)
		return nil
	}
}

// refused returns what refuses a flag.
func refused(flag, why string) func(*options, string) error {
	return func(*options, string) error { return fmt.Errorf("%s: %s", flag, why) }
}

// buffer returns what chooses a form of data buffers.
func buffer(f field.BufferFormat) func(*options, string) error {
	return func(o *options, _ string) error {
		if o.buffers++; o.buffers > 1 {
			return errors.New("you cannot specify more than one output format")
		}
		o.buffer = f
		return nil
	}
}

// Why flags are ignored or refused.
const (
	noDriver  = "events come from Rollcage's own BPF programs; there is no driver to choose"
	noPlugins = "plugins are not supported; what Rollcage reads is the kernel's events and captures of them"
	noAPI     = "Kubernetes and Mesos are not asked; names come from the container runtime"
	noTracers = "tracers are gone from the event schema"
)

var optionTable = []option{
	{'A', "print-ascii", "", "print data buffers as text with their line ends", buffer(field.BufferLines)},
	{'b', "print-base64", "", "print data buffers in base64", buffer(field.BufferBase64)},
	{'c', "chisel", "NAME [ARGS]", "run a chisel; ARGS is one word, so quote several", func(o *options, arg string) error {
		if arg == "l" {
			o.listing = "chisels"
			return nil
		}
		return o.addChisel(arg)
	}},
	{0, "list-chisels", "", "list the chisels, as -cl does", listing("chisels")},
	{'i', "chisel-info", "NAME", "describe a chisel", func(o *options, arg string) error {
		o.listing, o.name = "chisel", arg
		return nil
	}},
	{'C', "file-size", "MB", "begin a new file after so many millions of bytes", func(o *options, arg string) error {
		n, err := positive(arg, math.MaxInt64/1_000_000)
		o.file.MaxBytes = int64(n) * 1_000_000
		return wrap("invalid file size ", arg, err)
	}},
	{'G', "seconds", "SEC", "begin a new file after so many seconds; the name may be a pattern of strftime", func(o *options, arg string) error {
		n, err := positive(arg, math.MaxInt64/uint64(time.Second))
		o.file.MaxTime = time.Duration(n) * time.Second
		return wrap("invalid duration ", arg, err)
	}},
	{'e', "events", "N", "begin a new file after so many events", func(o *options, arg string) (err error) {
		o.file.MaxEvents, err = positive(arg, math.MaxUint64)
		return wrap("invalid number of events ", arg, err)
	}},
	{'W', "limit", "N", "keep the newest N files only", func(o *options, arg string) error {
		n, err := positive(arg, math.MaxInt32)
		o.file.MaxFiles = int(n)
		return wrap("invalid number of files ", arg, err)
	}},
	{'d', "displayflt", "", "apply the filter to what is shown only", flag(func(o *options) *bool { return &o.display })},
	{'D', "debug", "", "show internal events too", flag(func(o *options) *bool { return &o.debug })},
	{'E', "exclude-users", "", "no user and group names", flag(func(o *options) *bool { return &o.noUsers })},
	{'F', "fatfile", "", "with -w, keep what changes processes and descriptors even if it does not match, hidden", flag(func(o *options) *bool { return &o.fat })},
	{0, "filter-proclist", "", "with -w, apply the filter to the processes that the file starts with", flag(func(o *options) *bool { return &o.filterProcesses })},
	{'h', "help", "", "print this", listing("help")},
	{'j', "json", "", "print events as JSON", flag(func(o *options) *bool { return &o.json })},
	{'l', "list", "", "list the fields of filters and formats; -lv says more", listing("fields")},
	{0, "list-markdown", "", "list the fields in Markdown", listing("markdown")},
	{'L', "list-events", "", "list the events", listing("events")},
	{'M', "", "SEC", "stop after so many seconds of event time", func(o *options, arg string) error {
		n, err := positive(arg, math.MaxInt64/uint64(time.Second))
		o.duration = n * uint64(time.Second)
		return wrap("invalid duration ", arg, err)
	}},
	{'n', "numevents", "N", "stop after so many events", func(o *options, arg string) (err error) {
		o.count, err = positive(arg, math.MaxUint64)
		return wrap("can't parse the -n argument, make sure it's a number: ", arg, err)
	}},
	{'p', "print", "FORMAT", "format of a line; -pc for containers, -pk for Kubernetes, -pp prints the default", (*options).setFormat},
	{'P', "progress", "", "print how much of a file was read on the error stream", flag(func(o *options) *bool { return &o.progress })},
	{'q', "quiet", "", "print no events", flag(func(o *options) *bool { return &o.quiet })},
	{'r', "read", "FILE", "read events from a capture; may be given several times", func(o *options, arg string) error {
		o.reads = append(o.reads, arg)
		return nil
	}},
	{'R', "resolve-ports", "", "print names of services instead of ports", flag(func(o *options) *bool { return &o.services })},
	{'s', "snaplen", "LEN", "bytes of I/O data kept per event, 80 unless given; live only", func(o *options, arg string) error {
		n, err := positive(arg, math.MaxInt32)
		o.snaplen = int(n)
		return wrap("invalid snaplen ", arg, err)
	}},
	{'S', "summary", "", "print a table of the most frequent events at the end", flag(func(o *options) *bool { return &o.summary })},
	{'t', "timetype", "TYPE", "form of times: h for people, a absolute, r since the first event, d duration of the call, D since the last event", (*options).setTime},
	{'U', "suppress-comm", "NAMES", "leave out the events of commands, with commas between the names", func(o *options, arg string) error {
		o.hidden = append(o.hidden, strings.FieldsFunc(arg, func(r rune) bool { return r == ',' || r == ' ' })...)
		return nil
	}},
	{'v', "verbose", "", "print data buffers in full, and counters at the end", flag(func(o *options) *bool { return &o.verbose })},
	{'w', "write", "FILE", "write events into a capture instead of showing them", func(o *options, arg string) error {
		o.write = arg
		return nil
	}},
	{'x', "print-hex", "", "print data buffers in hexadecimal", buffer(field.BufferHex)},
	{'X', "print-hex-ascii", "", "print data buffers in hexadecimal and as text", buffer(field.BufferHexASCII)},
	{'z', "compress", "", "with -w, compress", flag(func(o *options) *bool { return &o.file.Gzip })},
	{0, "cri", "PATH", "ask the container runtime at this socket too; the usual ones are always asked", func(o *options, arg string) error {
		o.runtimes = append(o.runtimes, "cri:"+arg)
		return nil
	}},
	{0, "color", "WHEN", "colours: true on a terminal, force, false", (*options).setColor},
	{0, "unbuffered", "", "write each line at once", flag(func(o *options) *bool { return &o.unbuffered })},
	{0, "page-faults", "", "page faults too; live only", flag(func(o *options) *bool { return &o.pageFaults })},
	{0, "version", "", "print the version", listing("version")},
	{0, "libs-version", "", "", listing("version")},

	{'B', "bpf", "[PROBE]", "", ignored("-B", noDriver)},
	{0, "modern-bpf", "", "", ignored("--modern-bpf", noDriver)},
	{0, "cpus-for-each-buffer", "N", "", ignored("--cpus-for-each-buffer", noDriver)},
	{0, "large-environment", "", "", ignored("--large-environment", "environments are kept up to 4096 bytes")},
	{0, "log-level", "LEVEL", "", ignored("--log-level", "warnings and errors are always shown")},
	{0, "cri-timeout", "MS", "", ignored("--cri-timeout", "nobody waits for a container runtime")},
	{'k', "k8s-api", "URL", "", ignored("-k", noAPI)},
	{'K', "k8s-api-cert", "FILE", "", ignored("-K", noAPI)},
	{'N', "node-name", "NAME", "", ignored("-N", noAPI)},
	{'m', "mesos-api", "URL", "", ignored("-m", noAPI)},
	{'T', "force-tracers-capture", "", "", ignored("-T", noTracers)},
	{'g', "gvisor-config", "FILE", "", refused("-g", "gVisor is not supported; record on the host")},
	{0, "gvisor-generate-config", "[PATH]", "", refused("--gvisor-generate-config", "gVisor is not supported")},
	{0, "gvisor-root", "DIR", "", refused("--gvisor-root", "gVisor is not supported")},
	{'H', "plugin", "NAME", "", refused("-H", noPlugins)},
	{'I', "input", "NAME", "", func(_ *options, arg string) error {
		if arg == "l" {
			return errors.New("-Il: " + noPlugins + ", so there are none to list")
		}
		return errors.New("-I: " + noPlugins)
	}},
	{0, "plugin-info", "NAME", "", refused("--plugin-info", noPlugins)},
	{0, "plugin-config-file", "FILE", "", refused("--plugin-config-file", noPlugins)},
}

// positive parses a number from 1 to limit.
func positive(text string, limit uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil && (n == 0 || n > limit) {
		err = strconv.ErrRange
	}
	return n, err
}

// wrap returns an error that names the word that is wrong.
func wrap(what, word string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s%q", what, word)
}

func (o *options) setFormat(arg string) error {
	switch arg {
	case "p":
		o.listing = "format"
	case "c", "container":
		o.preset = "c"
	case "k", "kubernetes":
		o.preset = "k"
	case "m", "mesos":
		return errors.New("-pm: Mesos is gone; use -pc")
	default:
		o.format = arg
	}
	return nil
}

// timeTypes are the words of -t.
var timeTypes = map[string]field.TimeFormat{
	"h": field.TimeLocal, "a": field.TimeAbsolute, "r": field.TimeRelative, "d": field.TimeLatency, "D": field.TimeDelta,
}

func (o *options) setTime(arg string) error {
	t, ok := timeTypes[arg]
	if !ok {
		return fmt.Errorf("invalid modifier for flag -t: %q; want h, a, r, d or D", arg)
	}
	o.time = t
	return nil
}

func (o *options) setColor(arg string) error {
	if !slices.Contains([]string{"true", "force", "false"}, arg) {
		return fmt.Errorf("--color %s: want true, force or false", arg)
	}
	o.color = arg
	return nil
}

func (o *options) addChisel(name string) error {
	c := chisel.Lookup(name)
	if c == nil {
		return fmt.Errorf("there is no chisel %q; -cl lists them. Scripts in Lua are not run: most are built in", name)
	}
	o.chisels = append(o.chisels, request{chisel: c})
	return nil
}
