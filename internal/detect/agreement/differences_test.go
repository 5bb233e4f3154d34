package agreement

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// difference is one that is meant to be. The table in docs/compatibility.md
// gives the reason and the number of events.
type difference struct {
	name   string // first column of the table
	fields string // that it is about
	here   func(p *pair, ours, theirs string) bool
}

var differences041 = []difference{
	userOfContainer, workingDirectory, unknownThread,
	{"only argument empty", "proc.cmdline", func(p *pair, ours, theirs string) bool {
		return p.ours.get("proc.args") == "" && ours == theirs+" "
	}},
	{"newer parameter", "evt.args", func(p *pair, ours, theirs string) bool {
		name := map[string]string{"socket": "flags", "fcntl": "arg"}[p.ours.get("evt.type")]
		return name != "" && ours == theirs+" "+name+"="+p.ours.param(name)
	}},
	{"time with zone", "evt.args", func(p *pair, ours, theirs string) bool {
		return p.is("execve") && zoned.ReplaceAllStringFunc(ours, inUTC) == theirs
	}},
	{"result that is no descriptor", "evt.args fd.num fd.type fd.typechar", func(p *pair, _, _ string) bool {
		return strings.Contains(p.theirs.get("evt.args"), "=0(<b>)")
	}},
	{"name of a netlink socket", "evt.args fd.name", func(_ *pair, ours, theirs string) bool {
		return ours == strings.Replace(theirs, "(<n>family 16)", "(<n>)", 1) || ours == "" && theirs == "family 16"
	}},
	{"file below the root", "evt.args", func(_ *pair, ours, theirs string) bool {
		return ours == strings.ReplaceAll(theirs, "(//", "(/")
	}},
	{"name without folder", "fd.filename", func(p *pair, ours, theirs string) bool {
		return theirs == "/" && ours == p.ours.get("fd.name")
	}},
	{"relative time", "evt.args", func(_ *pair, ours, theirs string) bool {
		return seconds.ReplaceAllStringFunc(ours, shortened) == theirs
	}},
	{"name of a failed connect", "fd.name", func(p *pair, ours, theirs string) bool {
		return p.is("connect") && p.failed() && theirs == "" && p.ours.param("tuple") == ours
	}},
	{"type of a failed open", "fd.typechar", func(p *pair, ours, theirs string) bool {
		return p.is("open") && p.failed() && ours == "f" && theirs == "o"
	}},
	{"error of a call that gives a process", "evt.res", func(p *pair, ours, theirs string) bool {
		return p.is("clone3") && p.failed() && p.ours.get("evt.rawres") == theirs && strings.HasPrefix(ours, "E")
	}},
	{"other family after the first connect", "fd.name fd.l4proto fd.cip fd.sip fd.cport fd.sport evt.args", func(p *pair, _, _ string) bool {
		return strings.HasSuffix(p.theirs.param("fd"), "(<4><unknown>)")
	}},
}

var differences029 = []difference{
	userOfContainer, workingDirectory, unknownThread,
	{"parent of a thread", "proc.pname", func(p *pair, _, theirs string) bool {
		return p.ours.get("thread.tid") != p.ours.get("proc.pid") && theirs == p.ours.get("proc.name")
	}},
	{"descriptor of a mapping", "fd.num fd.type fd.typechar fd.name fd.filename", func(p *pair, _, theirs string) bool {
		return p.is("mmap") && theirs == missing
	}},
	{"result of a mapping", "evt.arg.res", func(p *pair, ours, theirs string) bool {
		n, err := strconv.ParseInt(ours, 10, 64)
		return p.is("mmap") && err == nil && fmt.Sprintf("%X", n) == theirs
	}},
	{"buffer that is not there", "evt.arg.data evt.arg.args", func(_ *pair, ours, theirs string) bool {
		return ours == "NULL" && theirs == ""
	}},
	{"family with two names", "evt.arg.domain", func(_ *pair, ours, theirs string) bool {
		return ours == "1(AF_LOCAL|AF_UNIX)" && theirs == "1(AF_LOCAL)"
	}},
	{"first form of accept4", "evt.type", func(_ *pair, ours, theirs string) bool {
		return ours == "accept4" && theirs == "accept"
	}},
	{"number of an unknown call", "evt.type", func(_ *pair, ours, theirs string) bool {
		return ours == "fadvise64" && theirs == "<unknown>"
	}},
	{"descriptor before the call", "evt.arg.fd", func(p *pair, ours, theirs string) bool {
		number, _, _ := strings.Cut(ours, "(")
		return (p.is("connect") || p.is("sendmsg")) && strings.HasPrefix(theirs, number+"(")
	}},
	{"peer of a datagram", "fd.name", func(p *pair, ours, _ string) bool {
		_, to, ok := strings.Cut(p.ours.param("tuple"), "->")
		return p.is("sendmsg") && ok && strings.HasSuffix(ours, "->"+to)
	}},
	{"renamed parameter", "evt.arg.pgid", func(p *pair, _, theirs string) bool {
		return p.is("execve") && p.ours.param("vpgid") == theirs
	}},
	{"no user", "evt.arg.loginuid", func(_ *pair, ours, theirs string) bool {
		return ours == "-1(<NONE>)" && theirs == "-1"
	}},
	{"image of the host", "container.image", func(p *pair, ours, theirs string) bool {
		return p.ours.get("container.id") == "host" && ours == "" && theirs == missing
	}},
}

var (
	userOfContainer = difference{"user of a container", "user.name group.name", func(p *pair, _, _ string) bool {
		id := p.ours.get("container.id")
		return id != "" && id != "host" && id != missing
	}}
	workingDirectory = difference{"working directory", "proc.cwd", func(_ *pair, _, theirs string) bool { return theirs == "" }}
	unknownThread    = difference{"thread that nothing told of", "proc.pid proc.cwd fd.type fd.typechar fd.name evt.arg.fd", func(p *pair, _, _ string) bool {
		return p.ours.get("proc.pid") == "-1" && p.ours.get("proc.name") == missing
	}}
)

// zoned matches a time as we print it.
var zoned = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} [+-]\d{4}`)

// inUTC returns a time in UTC without saying so.
func inUTC(text string) string {
	const without = "2006-01-02 15:04:05.000000000"
	when, err := time.Parse(without+" -0700", text)
	if err != nil {
		return text
	}
	return when.UTC().Format(without)
}

// seconds matches a relative time as we print it.
var seconds = regexp.MustCompile(`\([0-9.]+s\)`)

// shortened returns a relative time with six digits.
func shortened(text string) string {
	n, err := strconv.ParseFloat(strings.Trim(text, "(s)"), 64)
	if err != nil {
		return text
	}
	return fmt.Sprintf("(%.6gs)", n)
}

func (p *pair) is(name string) bool { return p.ours.get("evt.type") == name }

func (p *pair) failed() bool { return strings.HasPrefix(p.ours.get("evt.rawres"), "-") }

// param returns the text of a parameter.
func (r record) param(name string) string { return parameters(r, r.get("evt.args"))[name] }
