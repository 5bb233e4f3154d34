package rule

import "strings"

// Priority says how bad a match is; a smaller number is worse.
type Priority uint8

// The priorities, with the numbers of syslog.
const (
	Emergency Priority = iota
	Alert
	Critical
	Error
	Warning
	Notice
	Informational
	Debug
)

var priorityNames = [...]string{
	"Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug",
}

// String returns the word that alerts show.
func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return "Unknown"
}

// Short is String with Info for Informational, as the statistics at the end of a run have it.
func (p Priority) Short() string {
	if p == Informational {
		return "Info"
	}
	return p.String()
}

// ParsePriority reads a priority's name in any case; info is short for informational.
func ParsePriority(s string) (Priority, bool) {
	if strings.EqualFold(s, "info") {
		return Informational, true
	}
	for i, name := range priorityNames {
		if strings.EqualFold(s, name) {
			return Priority(i), true
		}
	}
	return 0, false
}

// priorityWords returns the names in lower case.
func priorityWords() []string {
	var words []string
	for _, name := range priorityNames {
		words = append(words, strings.ToLower(name))
	}
	return words
}
