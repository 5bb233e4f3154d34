package view

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Overview is what a Summary found.
type Overview struct {
	Start, End uint64 // times of the first and last event, ns since the epoch
	Containers []string
	Categories []Category
	Tiles      []Tile
}

// Tile is a number of an overview and how it came about over time.
type Tile struct {
	Name, Category, Description string
	Total, Max                  float64 // Max is of the samples
	// Level is set when the tile tells how much there was rather than adds up;
	// Total is then the most.
	Level bool
	// Times are the starts of the samples, ns since the epoch; shared by all tiles.
	Times  []uint64
	Values []float64
	// View shows more, under Filter and sorted by column Sort; Title names it if
	// it is echo or dig. Key is the field to look at its rows by.
	View, Filter, Title, Key string
	Sort                     int
	// Quiet tiles need not be shown when they are 0; Noted ones stand out when they are not.
	Quiet, Noted bool
}

// Overview returns what was found so far.
func (s *Summary) Overview() *Overview {
	o := &Overview{Start: s.line.start, End: max(s.last, s.opt.End), Categories: categories}
	for name := range s.names {
		o.Containers = append(o.Containers, name)
	}
	slices.Sort(o.Containers)
	used := s.line.used
	if s.line.known {
		used = s.line.room
	}
	if s.state != nil && used > 0 && s.part < used-1 {
		s.levels(used - 1)
	}
	n := s.opt.Samples
	times := make([]uint64, n)
	for i := range times {
		times[i] = o.Start + uint64(i)*((o.End-o.Start)/uint64(n))
	}
	for i := range s.tiles {
		t := &s.tiles[i]
		if t.measure == levelContainers {
			if strings.Contains(s.opt.Filter, "container.") {
				continue
			}
			t.total = float64(len(s.ran))
		}
		o.Tiles = append(o.Tiles, t.result(t.tile, times, used))
	}
	for i, p := range s.byPort {
		if p != nil {
			o.Tiles = append(o.Tiles, p.result(protocols[i].tile(), times, used))
		}
	}
	slices.SortStableFunc(o.Tiles, func(a, b Tile) int { return categoryOrder(a.Category) - categoryOrder(b.Category) })
	return o
}

func categoryOrder(id string) int {
	return slices.IndexFunc(categories, func(c Category) bool { return c.ID == id })
}

func (s *series) result(t *tile, times []uint64, used int) Tile {
	values := s.samples(used, len(times))
	return Tile{
		Name: t.name, Category: t.category, Description: t.doc, Total: s.total, Max: slices.Max(values), Level: s.level,
		Times: times, Values: values, View: t.opens, Filter: t.filter, Title: t.title, Key: t.key, Sort: t.sort,
		Quiet: t.quiet, Noted: t.noted,
	}
}

// tile describes the tile of a protocol.
func (p *protocol) tile() *tile {
	var parts []string
	for _, r := range p.ports {
		if r[0] == r[1] {
			parts = append(parts, "fd.sport="+strconv.Itoa(int(r[0])))
		} else {
			parts = append(parts, "(fd.sport>="+strconv.Itoa(int(r[0]))+" and fd.sport<="+strconv.Itoa(int(r[1]))+")")
		}
	}
	return &tile{
		name: p.name + " Bytes", category: "napps", doc: "Bytes to and from the usual ports of " + p.name + ".", measure: countBytes,
		opens: "connections", filter: strings.Join(parts, " or "), key: digNothing, quiet: true,
	}
}

type metricJSON struct {
	Name        string     `json:"name"`
	Description string     `json:"desc"`
	Category    string     `json:"category"`
	View        string     `json:"targetView"`
	Filter      string     `json:"targetViewFilter,omitempty"`
	Title       string     `json:"targetViewTitle,omitempty"`
	Sort        *int       `json:"targetViewSortingCol,omitempty"`
	Key         string     `json:"drillDownKey"`
	Data        metricData `json:"data"`
}

type metricData struct {
	Total       float64      `json:"tot"`
	Max         float64      `json:"max"`
	Timeline    []sampleJSON `json:"timeLine"`
	Excludable  bool         `json:"excludable"`
	Noteworthy  bool         `json:"noteworthy"`
	Aggregation string       `json:"aggregation"`
}

type sampleJSON struct {
	Time  string  `json:"t"`
	Value float64 `json:"v"`
}

// JSON returns the overview as the chisel wsysdig_summary prints its last
// slice: tiles that count nothing are left out if they may be.
func (o *Overview) JSON() ([]byte, error) {
	type info struct {
		Version    int        `json:"IndexFormatVersion"`
		Containers []string   `json:"containers"`
		Duration   uint64     `json:"durationNs"`
		Start      string     `json:"startTs"`
		End        string     `json:"endTs"`
		Categories []Category `json:"categories"`
	}
	var doc struct {
		Progress int `json:"progress"`
		Data     struct {
			Info    info         `json:"info"`
			Metrics []metricJSON `json:"metrics"`
		} `json:"data"`
	}
	doc.Progress = 100
	used := map[string]bool{}
	for i := range o.Tiles {
		if t := &o.Tiles[i]; t.Total != 0 || !t.Quiet {
			doc.Data.Metrics = append(doc.Data.Metrics, t.metric())
			used[t.Category] = true
		}
	}
	doc.Data.Info = info{
		Version: 1, Containers: append([]string{}, o.Containers...), Duration: o.End - o.Start,
		Start: strconv.FormatUint(o.Start, 10), End: strconv.FormatUint(o.End, 10), Categories: []Category{},
	}
	for _, c := range o.Categories {
		if used[c.ID] {
			doc.Data.Info.Categories = append(doc.Data.Info.Categories, c)
		}
	}
	return json.Marshal(doc)
}

func (t *Tile) metric() metricJSON {
	m := metricJSON{
		Name: t.Name, Description: t.Description, Category: t.Category, View: t.View, Filter: t.Filter, Title: t.Title, Key: t.Key,
		Data: metricData{Total: t.Total, Max: t.Max, Excludable: t.Quiet, Noteworthy: t.Noted, Aggregation: "sum"},
	}
	if t.Level {
		m.Data.Aggregation = "avg"
	}
	if t.Sort != 0 || t.Name == "File Bytes In" {
		m.Sort = &t.Sort
	}
	for i, v := range t.Values {
		m.Data.Timeline = append(m.Data.Timeline, sampleJSON{strconv.FormatUint(t.Times[i], 10), v})
	}
	return m
}
