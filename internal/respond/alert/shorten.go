package alert

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"rollcage/internal/detect/field"
)

// pieceLengths are to how many bytes message and values are cut, one after the other, until an alert is short enough.
var pieceLengths = []int{64 << 10, 4 << 10, 256, 0}

// Shorten cuts message and values until they have at most max bytes together, the longest ones first. What is cut ends in
// "…"; a list becomes a text. It reports whether anything was cut. It is for the owner of an alert that is not sent yet.
func (a *Alert) Shorten(max int) bool {
	if a.length() <= max {
		return false
	}
	for _, most := range pieceLengths {
		a.Message = cut(a.Message, most)
		for i := range a.Fields {
			a.Fields[i].JSON = cutJSON(a.Fields[i].JSON, most)
		}
		if a.length() <= max {
			break
		}
	}
	return true
}

func (a *Alert) length() int {
	n := len(a.Message)
	for i := range a.Fields {
		n += len(a.Fields[i].JSON)
	}
	return n
}

const ellipsis = "…"

// cut returns the beginning of s if that has more than most bytes, at most so many with the ellipsis, if there is room for it.
func cut(s string, most int) string {
	if len(s) <= max(most, len(ellipsis)) {
		return s
	}
	end := max(0, most-len(ellipsis))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.Clone(s[:end]) + ellipsis
}

func cutJSON(value []byte, most int) []byte {
	if len(value) <= max(most, len(ellipsis)+2) {
		return value
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	// Escapes make it longer again, at worst six times (\u001b).
	for keep := most; ; keep /= 2 {
		if short := field.AppendJSONString(nil, cut(text, keep)); len(short) <= most || keep == 0 {
			return short
		}
	}
}
