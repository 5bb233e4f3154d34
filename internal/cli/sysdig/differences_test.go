package sysdig

import (
	"regexp"
	"slices"
	"strings"
)

// each returns a mend that changes the lines of both, one by one; those for
// which it returns false are left out.
func each(change func(line string) (string, bool)) func(here, there output) (output, output) {
	of := func(list output) output {
		var out output
		for _, line := range list {
			if l, ok := change(line); ok {
				out = append(out, l)
			}
		}
		return out
	}
	return func(here, there output) (output, output) { return of(here), of(there) }
}

// only returns a mend that changes the lines of the other one.
func only(change func(line string) (string, bool)) func(here, there output) (output, output) {
	both := each(change)
	return func(here, there output) (output, output) {
		_, there = both(nil, there)
		return here, there
	}
}

func replace(pattern, with string) func(line string) (string, bool) {
	re := regexp.MustCompile(pattern)
	return func(line string) (string, bool) { return re.ReplaceAllString(line, with), true }
}

func without(pattern string) func(line string) (string, bool) {
	re := regexp.MustCompile(pattern)
	return func(line string) (string, bool) { return line, !re.MatchString(line) }
}

// pairs returns a mend of lines that stand at the same place in both.
func pairs(change func(here, there string) (string, string)) func(here, there output) (output, output) {
	return func(here, there output) (output, output) {
		h, o := slices.Clone(here), slices.Clone(there)
		for i := range min(len(h), len(o)) {
			h[i], o[i] = change(h[i], o[i])
		}
		return h, o
	}
}

func sorted(here, there output) (output, output) {
	h, o := slices.Clone(here), slices.Clone(there)
	slices.Sort(h)
	slices.Sort(o)
	return h, o
}

// The differences of events that docs/compatibility.md lists too.
var (
	newerParameter = &difference{name: "newer parameter", mend: each(func(line string) (string, bool) {
		line = regexp.MustCompile(`(< socket .* proto=\d+) flags=[^ "]*`).ReplaceAllString(line, "$1")
		line = regexp.MustCompile(`("evt.info":"fd=\d+\(<[^"]*proto=\d+) flags=[^ "]*`).ReplaceAllString(line, "$1")
		return regexp.MustCompile(`( cmd=[^ ]*) arg=[0-9A-F-]+`).ReplaceAllString(line, "$1"), true
	})}
	timeWithZone = &difference{name: "time with zone", mend: each(replace(`(\d\d:\d\d\.\d{9}) [+-]\d{4}`, "$1"))}
	otherFamily  = &difference{name: "other family after the first connect", mend: pairs(func(here, there string) (string, string) {
		if strings.Contains(there, "<unknown>") {
			return "", ""
		}
		return here, there
	})}
	peerOfDatagram = &difference{name: "peer of a datagram", mend: each(replace(`\d+\.\d+\.\d+\.\d+:55441->\S+`, "DATAGRAM"))}
	calledAccept   = &difference{name: "first form of accept4", mend: each(replace(`\baccept4\b`, "accept"))}
	innerID        = &difference{name: "id inside of a container", mend: each(replace(`\((\d+):[^)]*\)`, "($1)"))}
	noName         = &difference{name: "number of an unknown call", mend: each(replace(`<unknown>|fadvise64|\bunknown\b`, "UNKNOWN"))}
	ofContainer    = &difference{name: "user of a container", mend: pairs(func(here, there string) (string, string) {
		cells := strings.Fields(here)
		others := strings.Fields(there)
		if len(cells) != len(others) {
			return here, there
		}
		var differ []int
		for i := range cells {
			if cells[i] != others[i] {
				differ = append(differ, i)
			}
		}
		// The third word is the user in ps, the fourth in lsof.
		if len(differ) == 1 && (differ[0] == 2 || differ[0] == 3) {
			return there, there
		}
		return here, there
	})}
)

const missing = "<NA>"

// The differences of commands.
var (
	order = &difference{name: "order of equals", mend: sorted}
	ties  = &difference{name: "choice among equals", mend: func(here, there output) (output, output) {
		return sorted(withoutLast(here), withoutLast(there))
	}}
	floats     = &difference{name: "numbers with a point", mend: only(replace(`((?:in|out|tot):\d+|^\S+ \S+\(\d+)\.0\b`, "$1"))}
	floatCells = &difference{name: "numbers with a point", mend: each(func(line string) (string, bool) {
		cells := strings.Fields(line)
		for i, c := range cells {
			c = regexp.MustCompile(`^(\d+|.*:\d+)\.0?$`).ReplaceAllString(c, "$1")
			cells[i] = regexp.MustCompile(`^(\d+/\d+)\.0/`).ReplaceAllString(c, "$1/")
		}
		return strings.Join(cells, " "), true
	})}
	alwaysContainer = &difference{name: "containers without being asked", mend: only(func(line string) (string, bool) {
		line = strings.Replace(line, " [host] [---] ", " ", 1)
		line = strings.TrimPrefix(line, "---                  host                 ")
		return strings.Replace(strings.TrimPrefix(line, "host "), "@host)", ")", 1), true
	})}
	leftOut = &difference{name: "events that are left out", mend: each(func(line string) (string, bool) {
		_, line, _ = strings.Cut(strings.Replace(line, "(curl)", "", 1), " ")
		return line, !strings.Contains(line, missing+" (")
	})}
	otherHeading = &difference{name: "heading of another event", mend: each(replace(`^------ .*`, "------"))}
	switches     = &difference{name: "context switches", mend: only(without(` switch( |$)`))}
	startLine    = &difference{name: "line of the start", mend: func(here, there output) (output, output) {
		last := regexp.MustCompile(`^\d+\) (.*) (<|>) (\S+).*$`)
		of := func(list output) (out output) {
			for _, line := range list {
				if m := last.FindStringSubmatch(line); m != nil && m[2] == "<" {
					out = append(out, m[1]+" "+m[3])
				}
			}
			return out
		}
		return of(here), of(there)
	}}
	lastDigit = &difference{name: "last digit", mend: pairs(func(here, there string) (string, string) {
		if len(here) != len(there) {
			return here, there
		}
		for i := range here {
			if here[i] != there[i] && (i < 2 || here[i-1] != '2' && here[i-1] != '.' || here[i]+1 != there[i]) {
				if here[i]+1 != there[i] {
					return here, there
				}
			}
		}
		return here, here
	})}
	repeatedShell = &difference{name: "repeated shell", mend: func(here, there output) (output, output) {
		return here, slices.Compact(slices.Clone(there))
	}}
	emptyBuffer   = &difference{name: "buffer that is not there", mend: only(replace(` NULL$`, " "))}
	titleOfTable  = &difference{name: "blank in a title", mend: only(replace(`^(evt.datetime .*id  ) `, "$1"))}
	limitOfNobody = &difference{name: "limit of a thread that nothing told of", mend: pairs(func(here, there string) (string, string) {
		if strings.Contains(here, missing) && strings.Contains(there, " 429496729 ") {
			return here[:strings.LastIndex(here, missing)], there[:strings.Index(there, "429496729 ")]
		}
		return here, there
	})}
	orderOfKeys = &difference{name: "order of the keys", mend: func(here, there output) (output, output) { return sorted(here, there) }}
)

// withoutLast leaves of a ranking the keys of the rows that are last and equal
// out, as which of them there was room for is chance.
func withoutLast(rows output) output {
	out := slices.Clone(rows)
	if len(out) < 3 {
		return out
	}
	value := func(row string) string { return row[:min(len(row), 20)] }
	last := value(out[len(out)-1])
	for i := range out[2:] {
		if value(out[2+i]) == last {
			out[2+i] = last
		}
	}
	return out
}
