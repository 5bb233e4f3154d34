package chisel

import (
	"fmt"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/unit"
	"rollcage/internal/observe/host"
)

var spyChisels = []Chisel{
	{Name: "spy_file", Category: "I/O", Short: "Echo any read/write made by any process to all files. Optionally, you can provide the name of one file to only intercept reads/writes to that file.",
		Doc: "Each read and write of a file, with time, process, size, name and data. Terminals are left out unless one is named.",
		Args: []Arg{
			{Name: "read_or_write", Type: String, Optional: true, Doc: "R for reads, W for writes, RW for both."},
			{Name: "spy_on_file_name", Type: String, Optional: true, Doc: "Path of the one file to look at."},
		}, New: spyFile},
	{Name: "spy_logs", Category: "Logs", Short: "Echo any write made by any process to a log file. Optionally, export the events around each log message to file.",
		Doc:  "Each line that is written to a file with .log, _log or /var/log in its name, with the process and the file.",
		Args: append(dumpArgs(true), plain), New: spyLogs},
	{Name: "spy_syslog", Category: "Logs", Short: "Print every message written to syslog. Optionally, export the events around each syslog message to file.",
		Doc:  "Each message that is written to /dev/log, with facility, severity and process.",
		Args: append(dumpArgs(true), plain), New: spySyslog},
	{Name: "spy_ip", Category: "Net", Short: "Show the data exchanged with the given IP address",
		Doc:  "The data of each read from and write to connections with an address.",
		Args: []Arg{{Name: "host_ip", Type: Address, Doc: "The address."}, plain}, New: spyPeer("host_ip", "fd.ip=")},
	{Name: "spy_port", Category: "Net", Short: "Show the data exchanged using the given IP port number",
		Doc:  "The data of each read from and write to connections with a port.",
		Args: []Arg{{Name: "host_port", Type: Int, Doc: "The number of the port."}, plain}, New: spyPeer("host_port", "fd.port=")},
}

// lines returns a style that prints data with its line ends.
func (e *Env) lines() *Env {
	own := *e
	style := field.Style{}
	if e.Style != nil {
		style = *e.Style
	}
	if style.Buffer == field.BufferDots {
		style.Buffer = field.BufferLines
	}
	own.Style = &style
	return &own
}

// quote returns text as a constant of a condition.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func spyFile(env *Env, args Values) (*Run, error) {
	env = env.lines()
	data, name, isWrite := env.read("evt.arg.data"), env.read("fd.name"), env.read("evt.is_io_write")
	pid, process, at := env.read("proc.pid"), env.read("proc.name"), env.read("evt.time")
	// To watch the terminal that the output goes to would never end.
	condition := "not fd.name contains /dev/pt and not fd.name contains /dev/tty"
	if path := args["spy_on_file_name"]; path != "" {
		condition = "fd.name=" + quote(path)
	}
	switch strings.ToUpper(args["read_or_write"]) {
	case "R":
		condition += " and evt.is_io_read=true"
	case "W":
		condition += " and evt.is_io_write=true"
	case "", "RW":
		condition += " and evt.is_io=true"
	default:
		return nil, fmt.Errorf("argument read_or_write of chisel spy_file: want R, W or RW, not %q", args["read_or_write"])
	}
	return &Run{
		Condition: condition + " and fd.type=file and evt.dir=< and evt.failed=false", Snaplen: 2000,
		Event: func(he *host.Event) error {
			way := "R"
			if isWrite.is(he) {
				way = "W"
			}
			n, _ := he.Result()
			text := ""
			if at := dataParams[he.Type()]; at >= 0 && len(he.Param(at)) > 0 {
				text = data.string(he)
			}
			return env.line("", "%s %s(%s) %s %s %s %s", at.string(he), process.string(he), pid.string(he), way, unit.Bytes(float64(n)), name.string(he), text)
		},
	}, nil
}

// logFile is the condition of files that hold logs.
const logFile = "(fd.name contains .log or fd.name contains _log or fd.name contains /var/log) and not (fd.name contains .gz or fd.name contains .tgz)"

func spyLogs(env *Env, args Values) (*Run, error) {
	env = env.lines()
	dump, err := newDump(env, args)
	if err != nil {
		return nil, err
	}
	data, process, name, container := env.read("evt.buffer"), env.read("proc.name"), env.read("fd.name"), newContainerNames(env)
	return &Run{
		Condition: "(" + logFile + ") and evt.is_io_write=true and evt.dir=< and evt.failed=false", Snaplen: 2000,
		Event: func(he *host.Event) error {
			text, _ := data.lookup(he)
			for msg := range strings.SplitSeq(text, "\n") {
				if msg == "" {
					continue
				}
				inside := ""
				if env.Containers {
					_, called := container.of(he)
					inside = called + " "
				}
				color := ""
				if env.colors(args) {
					color = logColor(msg)
				}
				if err := env.line(color, "%s%s %s %s", inside, process.string(he), name.string(he), msg); err != nil {
					return err
				}
			}
			dump.add(he)
			return nil
		},
		End: func(Moment, *host.State) error { return dump.write("Writing events for %d log entries\n") },
	}, nil
}

func logColor(msg string) string {
	low := strings.ToLower(msg)
	switch {
	case strings.Contains(low, "warn"):
		return yellow
	case strings.Contains(low, "err"):
		return red
	}
	return green
}

func spySyslog(env *Env, args Values) (*Run, error) {
	dump, err := newDump(env, args)
	if err != nil {
		return nil, err
	}
	data, process, tid, container := env.read("evt.buffer"), env.read("proc.name"), env.read("thread.tid"), newContainerNames(env)
	data.field.Style = &field.Style{}
	return &Run{
		Condition: "fd.name contains /dev/log and evt.is_io_write=true and evt.dir=< and evt.failed=false", Snaplen: 1000,
		Event: func(he *host.Event) error {
			text, ok := data.lookup(he)
			if !ok {
				return nil
			}
			facility, severity, msg := parseSyslog(text)
			id, called := "", ""
			if env.Containers {
				id, called = container.of(he)
				id = fmt.Sprintf("%-20s %-20s ", id, called)
			}
			color := ""
			if env.colors(args) {
				color = severityColor(severity, called)
			}
			dump.add(he)
			return env.line(color, "%s%s.%s %s[%s] %s", id, word(facilities[:], facility), word(severities[:], severity), process.string(he), tid.string(he), msg)
		},
		End: func(Moment, *host.State) error { return dump.write("Writing events for %d log entries\n") },
	}, nil
}

// The words of syslog priorities (RFC 5424, 6.2.1).
var (
	severities = [...]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}
	facilities = [...]string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
		"logaudit", "logalert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
)

// parseSyslog splits <PRIORITY>MESSAGE; -1 stands for a priority that is not there.
func parseSyslog(text string) (facility, severity int, msg string) {
	end := strings.IndexByte(text, '>')
	if !strings.HasPrefix(text, "<") || end < 2 || end > 4 {
		return -1, -1, text
	}
	priority := 0
	for _, c := range text[1:end] {
		if c < '0' || c > '9' {
			return -1, -1, text
		}
		priority = priority*10 + int(c-'0')
	}
	return priority >> 3, priority & 7, text[end+1:]
}

// word returns the word of a number, <NA> if it has none.
func word(words []string, n int) string {
	if n < 0 || n >= len(words) {
		return missing
	}
	return words[n]
}

func severityColor(severity int, container string) string {
	switch {
	case severity == 4:
		return yellow
	case severity >= 0 && severity < 4:
		return red
	}
	return hostColor(container)
}

// spyPeer prints what goes over the connections that a condition selects.
func spyPeer(arg, condition string) func(*Env, Values) (*Run, error) {
	return func(env *Env, args Values) (*Run, error) {
		data, isRead := env.read("evt.arg.data"), env.read("evt.is_io_read")
		return &Run{
			Condition: netIO + " and " + condition + args[arg], Snaplen: 1000,
			Event: func(he *host.Event) error {
				n, ok := he.Result()
				text, has := data.lookup(he)
				if !ok || n <= 0 || !has {
					return nil
				}
				color, verb := blue, "Write"
				if isRead.is(he) {
					color, verb = red, "Read"
				}
				if !env.colors(args) {
					color = ""
				}
				if err := env.line(color, "------ %s %s", verb, unit.Bytes(float64(n))); err != nil {
					return err
				}
				return env.line("", "%s", text)
			},
		}, nil
	}
}
