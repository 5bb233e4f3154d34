package api

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The rows of the spectrogram: latencyRows steps from 100 ns on, 6 to a decade.
const (
	latencyRows  = 54 // up to 100 s
	latencyFirst = 100.0
	perDecade    = 6
	// maxSlow bounds the calls, files and peers that are told apart.
	maxSlow = 20_000
	topSlow = 50
)

// latencies is the picture of how long calls took.
type latencies struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Bounds are the lower ends of the rows in ns, Cells the number of calls by
	// column (time) and row.
	Bounds []float64  `json:"bounds"`
	Cells  [][]uint32 `json:"cells"`
	// Known and Unknown count calls with and without a latency.
	Known   uint64 `json:"known"`
	Unknown uint64 `json:"unknown"`
	// States is how long threads were in calls of each category.
	States []slow `json:"states"`
	Calls  []slow `json:"calls"`
	Files  []slow `json:"files"`
	Peers  []slow `json:"peers"`
}

// slow is how long calls on something took, in ns.
type slow struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
	Total uint64 `json:"total"`
	Max   uint64 `json:"max"`
	// Event is the number of the slowest.
	Event uint64 `json:"event"`
}

type slowTable map[string]*slow

func (t slowTable) add(name string, he *host.Event) {
	s := t[name]
	if s == nil {
		if len(t) >= maxSlow {
			return
		}
		s = &slow{Name: name}
		t[name] = s
	}
	s.Count++
	s.Total += he.Latency
	if he.Latency > s.Max {
		s.Max, s.Event = he.Latency, he.Num
	}
}

func (t slowTable) top(n int) []slow {
	out := make([]slow, 0, len(t))
	for _, s := range t {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b slow) int { return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name)) })
	return out[:min(n, len(out))]
}

// latency answers with the spectrogram of the window and what was slow in it.
func (s *Server) latency(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	columns, err := q.number("columns", 120, 1000)
	if err != nil {
		return err
	}
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		m := newLatencyMeter(&x, int(max(1, columns)))
		err := s.scan(q.r.Context(), &x, recording.Visitor{Event: m.add}, func(p float64) error {
			return st.tick(p, func() any { return m.result() })
		})
		if err != nil {
			return nil, err
		}
		return st.end(m.result())
	})
}

type latencyMeter struct {
	out                         latencies
	states, calls, files, peers slowTable
	call                        *field.Field // evt.type
	v                           field.Value
}

func newLatencyMeter(x *question, columns int) *latencyMeter {
	call, err := field.Parse("evt.type", "", false)
	if err != nil {
		panic(err) // the field is part of the program
	}
	m := &latencyMeter{call: call, states: slowTable{}, calls: slowTable{}, files: slowTable{}, peers: slowTable{}}
	m.out.From, m.out.To = x.span()
	for i := range latencyRows {
		m.out.Bounds = append(m.out.Bounds, latencyFirst*math.Pow(10, float64(i)/perDecade))
	}
	m.out.Cells = make([][]uint32, columns)
	for i := range m.out.Cells {
		m.out.Cells[i] = make([]uint32, latencyRows)
	}
	return m
}

func (m *latencyMeter) add(he *host.Event) error {
	if he.Info().Origin != event.OriginSyscall {
		return nil
	}
	if he.Latency == 0 {
		m.out.Unknown++
		return nil
	}
	m.out.Known++
	col := int(share(he.Time(), m.out.From, m.out.To) * float64(len(m.out.Cells)))
	row := int(math.Log10(float64(he.Latency)/latencyFirst) * perDecade)
	m.out.Cells[min(col, len(m.out.Cells)-1)][min(max(row, 0), latencyRows-1)]++
	call := ""
	if m.call.Read(he, &m.v) {
		call = strings.Clone(m.v.Str)
		m.calls.add(call, he)
	}
	m.states.add(stateOf(he, call), he)
	if fd := he.FD; fd != nil && fd.Name != "" {
		switch {
		case fd.Type.IsFile():
			m.files.add(fd.Name, he)
		case fd.Type.IsIP(), fd.Type == event.FDUnix:
			m.peers.add(fd.Name, he)
		}
	}
	return nil
}

// waits says what a thread waits for in calls that do little else.
var waits = func() map[string]string {
	out := map[string]string{}
	for what, calls := range map[string]string{
		"waiting for signals":     "rt_sigtimedwait sigtimedwait rt_sigsuspend sigsuspend pause",
		"waiting for events":      "epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6 io_getevents io_pgetevents io_uring_enter",
		"sleeping":                "nanosleep clock_nanosleep",
		"waiting for children":    "wait4 waitid waitpid",
		"waiting for locks":       "futex futex_wait futex_waitv flock semop semtimedop",
		"waiting for connections": "accept accept4",
		"waiting for messages":    "mq_timedreceive msgrcv",
	} {
		for _, call := range strings.Fields(calls) {
			out[call] = what
		}
	}
	return out
}()

// stateOf says in a word what a thread does in a call of that name.
func stateOf(he *host.Event, call string) string {
	info := he.Info()
	if what := waits[call]; what != "" {
		return what
	}
	if info.Flags&event.Waits != 0 && he.FD == nil {
		return "waiting for events"
	}
	if fd := he.FD; fd != nil {
		switch {
		case fd.Type.IsFile(), fd.Type == event.FDDirectory:
			return "files"
		case fd.Type.IsIP():
			return "network"
		case fd.Type == event.FDPipe, fd.Type == event.FDUnix:
			return "pipes and sockets"
		case fd.Type == event.FDEventPoll:
			return "waiting for events"
		}
	}
	return info.Category.String()
}

func (m *latencyMeter) result() latencies {
	out := m.out
	out.States, out.Calls = m.states.top(topSlow), m.calls.top(topSlow)
	out.Files, out.Peers = m.files.top(topSlow), m.peers.top(topSlow)
	return out
}
