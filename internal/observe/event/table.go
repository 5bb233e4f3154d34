package event

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed tables/*.txt
var tableFiles embed.FS

// tables holds the parsed tables. They are read once, when the program starts.
var tables = mustLoad()

type tableSet struct {
	events   []*Info
	byName   map[string][]*Info
	byEnum   map[string]*Info
	flags    map[string]*FlagTable
	errno    map[int64]string
	signal   map[int64]string
	syscalls []*Syscall
	sysName  map[string]*Syscall
	native   map[string][]native
	ia32     map[int]int
	sets     map[string][]string
}

func mustLoad() *tableSet {
	t := &tableSet{
		byName: map[string][]*Info{}, byEnum: map[string]*Info{}, flags: map[string]*FlagTable{},
		errno: map[int64]string{}, signal: map[int64]string{},
		sysName: map[string]*Syscall{}, native: map[string][]native{}, ia32: map[int]int{}, sets: map[string][]string{},
	}
	for _, f := range []struct {
		name string
		line func(words []string, indented bool) error
	}{
		{"flags", t.flagLine()}, {"events", t.eventLine()}, {"syscalls", t.syscallLine},
	} {
		data, err := tableFiles.ReadFile("tables/" + f.name + ".txt")
		if err != nil {
			panic(err) // embedded: cannot happen in a built program
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			words := strings.Fields(line)
			if len(words) == 0 || words[0][0] == '#' {
				continue
			}
			if err := f.line(words, line[0] == ' '); err != nil {
				panic(fmt.Sprintf("event: tables/%s.txt:%d: %v", f.name, n, err))
			}
		}
	}
	for _, l := range t.flags["errno"].Labels {
		if _, ok := t.errno[int64(l.Value)]; !ok {
			t.errno[int64(l.Value)] = l.Name
		}
	}
	for _, l := range t.flags["signal"].Labels {
		t.signal[int64(l.Value)] = l.Name
	}
	return t
}

func (t *tableSet) flagLine() func([]string, bool) error {
	var last *FlagTable
	return func(w []string, indented bool) error {
		if !indented {
			last = &FlagTable{Name: w[1]}
			t.flags[w[1]] = last
			return nil
		}
		v, err := strconv.ParseUint(w[1], 10, 64)
		last.Labels = append(last.Labels, Label{w[0], v})
		return err
	}
}

func (t *tableSet) eventLine() func([]string, bool) error {
	types := map[string]ParamType{}
	for i, p := range paramTypes {
		types[p.name] = ParamType(i)
	}
	variants := map[string][]Variant{}
	return func(w []string, indented bool) error {
		switch {
		case indented:
			return t.paramLine(w, types, variants)
		case w[0] == "dyn":
			for _, v := range w[2:] {
				typ, format, _ := strings.Cut(v, "/")
				variants[w[1]] = append(variants[w[1]], Variant{types[typ], formatNames[format]})
			}
			return nil
		}
		id, err := strconv.Atoi(w[0])
		if err != nil || id != len(t.events) || len(w) != 5 {
			return fmt.Errorf("event %d expected, got %q", len(t.events), w)
		}
		i := &Info{Type: Type(id), Enum: w[1], Name: w[2]}
		for _, c := range strings.Split(w[3], ",") {
			if !i.classify(c) {
				return fmt.Errorf("unknown category %s", c)
			}
		}
		for _, f := range strings.Split(w[4], ",") {
			for n, name := range flagNames {
				if f == name {
					i.Flags |= 1 << n
				}
			}
		}
		t.events = append(t.events, i)
		t.byName[i.Name] = append(t.byName[i.Name], i)
		t.byEnum[i.Enum] = i
		return nil
	}
}

func (i *Info) classify(word string) bool {
	for n, names := range categoryNames {
		if names[0] == word {
			i.Category = Category(n)
			return true
		}
	}
	for n, name := range originNames {
		if name == word {
			i.Origin = Origin(n)
			return true
		}
	}
	return false
}

func (t *tableSet) paramLine(w []string, types map[string]ParamType, variants map[string][]Variant) error {
	typ, ok := types[w[1]]
	if !ok {
		return fmt.Errorf("unknown type %s", w[1])
	}
	p := ParamInfo{Name: w[0], Type: typ, Format: formatNames[w[2]], DirFD: -1}
	for _, attr := range w[3:] {
		key, val, _ := strings.Cut(attr, "=")
		switch key {
		case "table":
			if p.Table = t.flags[val]; p.Table == nil {
				return fmt.Errorf("unknown table %s", val)
			}
		case "dirfd":
			n, err := strconv.Atoi(val)
			if err != nil {
				return err
			}
			p.DirFD = n
		case "dyn":
			p.Variants = variants[val]
		}
	}
	last := t.events[len(t.events)-1]
	last.Params = append(last.Params, p)
	return nil
}

// Count is the number of event types.
func Count() int { return len(tables.events) }

// All returns the descriptions of all event types, indexed by type. The slice is shared.
func All() []*Info { return tables.events }

// Lookup returns the event types with that name, all versions and both
// directions, or nil. The slice is shared.
func Lookup(name string) []*Info { return tables.byName[name] }

// ByEnum returns the event type with that enumerator, or nil.
func ByEnum(enum string) *Info { return tables.byEnum[enum] }

func itoa(n int) string { return strconv.Itoa(n) }
