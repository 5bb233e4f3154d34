// Package noise finds in recorded alerts what raises a rule again and again,
// and proposes exceptions for it that are as narrow as the alerts allow.
//
// An exception always names where something runs (the image of a container,
// or the host) and which program it is, by its path. A name that a program
// gives itself, such as proc.name, only narrows what is named by more.
package noise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Alert is a recorded alert, as Falco and Rollcage write them in JSON.
type Alert struct {
	Rule string
	Time string
	Host string
	// Fields are the values of the fields, those left out that are missing.
	Fields map[string]string
}

// maxLine is how long an alert may be, in bytes.
const maxLine = 4 << 20

// Read reads alerts, one JSON object a line. Lines that are no alerts are
// counted and skipped.
func Read(r io.Reader) (alerts []Alert, skipped int, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if line == "" {
			continue
		}
		a, err := parse(line)
		if err != nil {
			skipped++
			continue
		}
		alerts = append(alerts, a)
	}
	return alerts, skipped, in.Err()
}

func parse(line string) (Alert, error) {
	var doc struct {
		Rule   string         `json:"rule"`
		Time   string         `json:"time"`
		Host   string         `json:"hostname"`
		Source string         `json:"source"`
		Fields map[string]any `json:"output_fields"`
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return Alert{}, err
	}
	if doc.Rule == "" || doc.Source == "internal" {
		return Alert{}, errors.New("not the alert of a rule")
	}
	a := Alert{Rule: doc.Rule, Time: doc.Time, Host: doc.Host, Fields: map[string]string{}}
	for name, v := range doc.Fields {
		switch v := v.(type) {
		case string:
			if v != "<NA>" {
				a.Fields[name] = v
			}
		case json.Number, bool:
			a.Fields[name] = fmt.Sprint(v)
		}
	}
	return a, nil
}
