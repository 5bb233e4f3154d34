package view

import (
	"fmt"
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// SummaryOptions say what an overview is of.
type SummaryOptions struct {
	// Filter is the condition of the events that count, "" for all.
	Filter string
	// Samples is how many parts the time lines have, 400 if it is 0.
	Samples int
	// Start and End are the times of the first and the last event, ns since the
	// epoch. If they are 0 the time lines are cut at the end, to an eighth of a
	// sample, and what is counted once may be counted less in a sample than it was.
	Start, End uint64
}

// Summary makes the overview of a stream in one pass: what its events add up
// to, tile by tile, in all and over time. Its memory does not grow with the
// stream. It is used by one goroutine.
type Summary struct {
	opt     SummaryOptions
	prog    *filter.Program
	user    filter.CondID // the user's condition
	filter  bool
	line    timeline
	tiles   []runningTile
	byType  [512][]int // tiles that events of a type can count for
	byPort  []*series  // of protocols, nil until there is traffic
	traffic filter.CondID
	port    *field.Field
	data    *field.Field
	v       field.Value
	name    []byte
	last    uint64
	part    int // of the levels
	state   *host.State
	names   map[string]bool // containers with an event that counts
	ran     map[string]bool // containers with a process, or an event that counts
}

type runningTile struct {
	*tile
	cond  filter.CondID
	all   bool // no condition
	types event.TypeSet
	series
}

// NewSummary compiles the tiles. Errors about the user's condition wrap
// ErrCondition and a *filter.Error.
func NewSummary(opt SummaryOptions) (*Summary, error) {
	if opt.Samples <= 0 {
		opt.Samples = 400
	}
	s := &Summary{opt: opt, prog: filter.NewProgram(), part: -1, names: map[string]bool{}, ran: map[string]bool{}, byPort: make([]*series, len(protocols))}
	s.line = timeline{start: opt.Start, width: firstWidth, room: 16 * opt.Samples}
	if opt.End > opt.Start && opt.Start > 0 {
		s.line.known, s.line.room = true, opt.Samples
		s.line.width = (opt.End-opt.Start)/uint64(opt.Samples) + 1
	}
	var err error
	if strings.TrimSpace(opt.Filter) != "" {
		if s.user, err = s.condition(opt.Filter); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCondition, err)
		}
		s.filter = true
	}
	for i := range tiles {
		r := runningTile{tile: &tiles[i], all: tiles[i].where == "", series: s.newSeries(&tiles[i])}
		if !r.all {
			if r.cond, err = s.condition(r.where); err != nil {
				return nil, fmt.Errorf("tile %s: %w", r.name, err)
			}
			n, err := filter.Parse(r.where)
			if err != nil {
				return nil, fmt.Errorf("tile %s: %w", r.name, err)
			}
			r.types = filter.Types(n)
		}
		s.tiles = append(s.tiles, r)
	}
	if s.traffic, err = s.condition(ofNetwork + " and fd.sport exists"); err != nil {
		return nil, err
	}
	if s.port, err = field.Parse("fd.sport", "", false); err != nil {
		return nil, err
	}
	s.data, err = field.Parse("evt.buffer", "", false)
	return s, err
}

func (s *Summary) newSeries(t *tile) series {
	out := series{parts: make([]float64, s.line.room), level: t.measure.level()}
	if t.measure == countDistinct {
		out.seen = map[string]int{}
	}
	return out
}

func (s *Summary) condition(text string) (filter.CondID, error) {
	n, err := filter.Parse(text)
	if err != nil {
		return 0, err
	}
	id, _, err := s.prog.Add(n)
	return id, err
}

// Add counts an event.
func (s *Summary) Add(e *host.Event) {
	s.state = e.State
	if s.filter && !s.prog.Eval(s.user, e) {
		return
	}
	s.last = e.Time()
	part := s.line.at(s.last, s.grow)
	if part != s.part {
		s.levels(part)
	}
	if t := e.Thread; t != nil && t.Container != nil && !s.names[t.Container.ID] && len(s.names) < maxSeen {
		s.names[t.Container.ID], s.ran[t.Container.ID] = true, true
	}
	for _, i := range s.candidates(e.Info()) {
		if t := &s.tiles[i]; t.all || s.prog.Eval(t.cond, e) {
			s.count(t, part, e)
		}
	}
	if e.FD != nil && s.prog.Eval(s.traffic, e) && s.port.Read(e, &s.v) {
		if i := protocolByPort(uint16(s.v.Num)); i >= 0 {
			s.addTraffic(i, part, e)
		}
	}
}

// candidates returns the tiles that an event of a type can count for.
func (s *Summary) candidates(info *event.Info) []int {
	if list := s.byType[info.Type]; list != nil {
		return list
	}
	list := []int{}
	for i := range s.tiles {
		if s.tiles[i].can(info) {
			list = append(list, i)
		}
	}
	s.byType[info.Type] = list
	return list
}

// can reports whether events of a type can count.
func (t *runningTile) can(info *event.Info) bool {
	switch {
	case t.level:
		return false
	case t.all:
		return true
	case strings.Contains(t.where, "evt.is_io_read=true") && info.Flags&event.ReadsFromFD == 0,
		strings.Contains(t.where, "evt.is_io_write=true") && info.Flags&event.WritesToFD == 0,
		strings.Contains(t.where, "evt.is_io=true") && info.Flags&(event.ReadsFromFD|event.WritesToFD) == 0:
		return false
	}
	return t.types.Has(info.Type)
}

func (s *Summary) addTraffic(protocol, part int, e *host.Event) {
	if s.byPort[protocol] == nil {
		s.byPort[protocol] = &series{parts: make([]float64, s.line.room)}
	}
	s.byPort[protocol].add(part, bytesOf(e))
}

func bytesOf(e *host.Event) float64 {
	n, _ := e.Result()
	return float64(max(n, 0))
}

func (s *Summary) count(t *runningTile, part int, e *host.Event) {
	switch t.measure {
	case countBytes:
		t.add(part, bytesOf(e))
	case countDistinct:
		if e.FD == nil {
			return
		}
		s.name = s.name[:0]
		if e.Thread != nil && e.Thread.Container != nil {
			s.name = append(s.name, e.Thread.Container.ID...)
		}
		s.name = append(append(s.name, ':'), e.FD.Name...)
		t.addOnce(part, s.name)
	case countLines:
		if s.data.Read(e, &s.v) {
			t.add(part, float64(countLinesWith(s.v.Str, t.words)))
		}
	default:
		if t.severity == 0 || s.data.Read(e, &s.v) && severityOf(s.v.Str) == t.severity {
			t.add(part, 1)
		}
	}
}

// countLinesWith counts the lines that hold one of the words, in any case; all if there are none.
func countLinesWith(data string, words []string) (n int) {
	for line := range strings.SplitSeq(strings.TrimRight(data, "\n\x00"), "\n") {
		if len(words) == 0 {
			n++
			continue
		}
		for _, w := range words {
			if containsFold(line, w) {
				n++
				break
			}
		}
	}
	return n
}

// containsFold reports whether text holds a lower-case word, in any case.
func containsFold(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// severityOf tells from a syslog message, <PRI>text, whether it is a warning or
// an error: the severity is the last three bits of the number.
func severityOf(data string) int {
	number, _, ok := strings.Cut(strings.TrimPrefix(data, "<"), ">")
	pri, err := strconv.ParseUint(number, 10, 10)
	switch {
	case !ok || err != nil || data[0] != '<' || pri&7 > 4:
		return 0
	case pri&7 == 4:
		return syslogWarning
	}
	return syslogErrors
}

// grow makes one part of two in all series.
func (s *Summary) grow() {
	// What there was at the last event is what there is until this one.
	for i := range s.tiles {
		if t := &s.tiles[i]; t.level && s.part >= 0 {
			for p := s.part + 1; p < len(t.parts); p++ {
				t.parts[p] = t.parts[s.part]
			}
		}
	}
	for i := range s.tiles {
		s.tiles[i].halve()
	}
	for _, p := range s.byPort {
		if p != nil {
			p.halve()
		}
	}
	if s.part >= 0 {
		s.part = s.line.room/2 - 1
	}
}

// levels notes how much there is at the start of a part, for it and those that
// nothing happened in.
func (s *Summary) levels(part int) {
	var processes, listeners float64
	running := map[string]bool{}
	for t := range s.state.Threads() {
		if t.Leader != t || t.Dead {
			continue
		}
		processes++
		if t.Container != nil {
			if running[t.Container.ID] = true; len(s.ran) < maxSeen {
				s.ran[t.Container.ID] = true
			}
		}
		for _, fd := range t.FDs.All() {
			if fd.Type.IsServer() {
				listeners++
			}
		}
	}
	for i := range s.tiles {
		t := &s.tiles[i]
		if !t.level {
			continue
		}
		n := map[measure]float64{levelProcesses: processes, levelContainers: float64(len(running)), levelListeners: listeners}[t.measure]
		for p := s.part + 1; p < part; p++ {
			t.parts[p] = t.parts[max(s.part, 0)]
		}
		t.parts[part] = n
		t.total = max(t.total, n)
	}
	s.part = part
}
