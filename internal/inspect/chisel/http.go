package chisel

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/observe/host"
)

var httpChisels = []Chisel{
	{Name: "httplog", Category: "Application", Short: "HTTP requests log",
		Doc: "A line for each HTTP request that was answered: time, < for a server and > for a client, method, URL, status, latency and size.", New: httpLog},
	{Name: "httptop", Category: "Application", Short: "Top HTTP requests",
		Doc:  "The thirty URLs with the most requests, bytes or time.",
		Args: []Arg{{Name: "by", Type: String, Optional: true, Doc: "ncalls, bytes or time."}}, New: httpTop},
	{Name: "memcachelog", Category: "Application", Short: "memcached requests log",
		Doc: "A line for each get and set of memcached.",
		Args: []Arg{
			{Name: "method", Type: String, Optional: true, Doc: "get or set."},
			{Name: "size", Type: Int, Optional: true, Doc: "Bytes that a set must have at least."},
		}, New: memcacheLog},
	{Name: "udp_extract", Category: "I/O", Short: "extract data from UDP streams to files.",
		Doc: "Writes the data of each UDP connection of a capture into a file of its own in ./udp_dump_files.", New: udpExtract},
}

// transaction is an HTTP request with its answer.
type transaction struct {
	method, url, dir, container string
	asked, answered             uint64 // ns since the epoch
	status, size                int64
}

// maxPending bounds the requests that wait for an answer.
const maxPending = 8192

// httpWatch puts requests and answers together, by process and descriptor.
type httpWatch struct {
	env                  *Env
	data, dir, container *reader
	pending              map[[2]int64]*transaction
	done                 func(he *host.Event, t *transaction) error
}

const httpCondition = "evt.is_io=true and evt.buflen > 0 and fd.sockfamily in (ip, unix)"

func newHTTPWatch(env *Env, done func(*host.Event, *transaction) error) *httpWatch {
	return &httpWatch{env, env.read("evt.rawarg.data"), env.read("evt.io_dir"), env.read("container.name"), map[[2]int64]*transaction{}, done}
}

func (w *httpWatch) event(he *host.Event) error {
	self := he.Process()
	data, ok := w.data.raw(he)
	if self == nil || !ok {
		return nil
	}
	key := [2]int64{self.PID, he.FDNum}
	t := w.pending[key]
	if t == nil {
		w.ask(key, he, data)
		return nil
	}
	status, size, ok := parseResponse(data)
	if !ok {
		return nil
	}
	t.answered, t.status, t.size = he.Time(), status, size
	delete(w.pending, key)
	return w.done(he, t)
}

// ask remembers a request, if it is one.
func (w *httpWatch) ask(key [2]int64, he *host.Event, data string) {
	method, url, ok := parseRequest(data)
	if !ok {
		return
	}
	if len(w.pending) >= maxPending {
		w.forget()
	}
	dir := missing
	switch w.dir.string(he) {
	case "read":
		dir = "<"
	case "write":
		dir = ">"
	}
	w.pending[key] = &transaction{method: printable(method), url: printable(url), dir: dir, container: strings.Clone(w.container.string(he)), asked: he.Time()}
}

// forget drops the half of the requests that waits longest.
func (w *httpWatch) forget() {
	times := make([]uint64, 0, len(w.pending))
	for _, t := range w.pending {
		times = append(times, t.asked)
	}
	slices.Sort(times)
	middle := times[len(times)/2]
	maps.DeleteFunc(w.pending, func(_ [2]int64, t *transaction) bool { return t.asked <= middle })
}

var (
	requestLine   = regexp.MustCompile(`^([A-Z]+) ([!-~]+)`)
	hostHeader    = regexp.MustCompile(`(?i)\r\nHost: ?([!-~]+)\r\n`)
	statusLine    = regexp.MustCompile(`HTTP/[!-~]+ ([0-9]{1,9})`)
	contentLength = regexp.MustCompile(`(?i)\r\nContent-Length: ?([0-9]{1,18})\r\n`)
)

// parseRequest returns what a request asks for, the host in front.
func parseRequest(data string) (method, url string, ok bool) {
	m := requestLine.FindStringSubmatch(data)
	if m == nil {
		return "", "", false
	}
	if h := hostHeader.FindStringSubmatch(data); h != nil {
		return m[1], h[1] + m[2], true
	}
	return m[1], m[2], true
}

// parseResponse returns status and length of an answer; a length that it does not tell is 0.
func parseResponse(data string) (status, size int64, ok bool) {
	m := statusLine.FindStringSubmatch(data)
	if m == nil {
		return 0, 0, false
	}
	status, _ = strconv.ParseInt(m[1], 10, 64)
	if l := contentLength.FindStringSubmatch(data); l != nil {
		size, _ = strconv.ParseInt(l[1], 10, 64)
	}
	return status, size, true
}

func httpLog(env *Env, _ Values) (*Run, error) {
	at := env.read("evt.datetime")
	w := newHTTPWatch(env, func(he *host.Event, t *transaction) error {
		where := " "
		if env.Containers {
			where = " " + t.container + " "
		}
		return env.line("", "%s%s%s method=%s url=%s response_code=%d latency=%dms size=%dB",
			at.string(he), where, t.dir, t.method, t.url, t.status, (t.answered-t.asked)/1e6, t.size)
	})
	return &Run{Condition: httpCondition, Snaplen: 1024, Event: w.event}, nil
}

// ranking adds up requests by URL.
type ranking struct {
	calls, bytes int64
	time         uint64
}

func httpTop(env *Env, args Values) (*Run, error) {
	by := cmp.Or(args["by"], "ncalls")
	table := &Table{Value: Heading{by, by}, Top: 30, env: env}
	switch by {
	case "ncalls":
	case "bytes":
		table.Unit = UnitBytes
	case "time":
		table.Unit = UnitTime
	default:
		return nil, fmt.Errorf("argument by of chisel httptop: want ncalls, bytes or time, not %q", by)
	}
	table.Keys = []Heading{{"method", "method"}, {"url", "url"}}
	if env.Containers {
		table.Keys = slices.Insert(table.Keys, 0, Heading{"container", "container"})
	}
	ranks := map[string]*ranking{}
	w := newHTTPWatch(env, func(_ *host.Event, t *transaction) error {
		key := t.method + keySeparator + t.url
		if env.Containers {
			key = t.container + keySeparator + key
		}
		r := ranks[key]
		if r == nil {
			if len(ranks) >= maxGroups {
				return nil
			}
			r = &ranking{}
			ranks[key] = r
		}
		r.calls++
		r.bytes += t.size
		r.time += t.answered - t.asked
		return nil
	})
	show := func(m Moment) error {
		rows := map[string]float64{}
		for k, r := range ranks {
			switch by {
			case "ncalls":
				rows[k] = float64(r.calls)
			case "bytes":
				rows[k] = float64(r.bytes)
			default:
				rows[k] = float64(r.time) / float64(r.calls)
			}
		}
		clear(ranks)
		return table.Print(m, rows)
	}
	run := &Run{Condition: httpCondition, Snaplen: 1024, Event: w.event,
		End: func(m Moment, _ *host.State) error { return show(m) }}
	if env.Live {
		run.Every, run.Tick = time.Second, show
	}
	return run, nil
}

func memcacheLog(env *Env, args Values) (*Run, error) {
	method, least := args["method"], args.number("size", 0)
	if method != "" && method != "get" && method != "set" {
		return nil, fmt.Errorf("argument method of chisel memcachelog: want get or set, not %q", method)
	}
	data, at := env.read("evt.rawarg.data"), env.read("evt.datetime")
	return &Run{
		Condition: "(fd.sport=11211 or proc.name=memcached) and evt.is_io=true", Snaplen: 4096,
		Event: func(he *host.Event) error {
			b, _ := data.raw(he)
			line, _, _ := strings.Cut(b, "\r\n")
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "get" && words[0] != "gets" && words[0] != "set" {
				return nil
			}
			var size int64
			if words[0] == "set" && len(words) > 4 {
				size, _ = strconv.ParseInt(words[4], 10, 64)
			}
			if method != "" && words[0] != method || words[0] == "set" && size < least {
				return nil
			}
			return env.line("", "%s method=%s size=%dB key=%s", at.string(he), words[0], size, printable(words[1]))
		},
	}, nil
}
