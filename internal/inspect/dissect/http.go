package dissect

import (
	"bytes"
	"slices"
	"strings"
)

var methods = []string{"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"}

// http reads the head of an HTTP/1 request or response. What follows the head
// is counted, not read.
func http(data []byte, _ Context) []Message {
	line, rest, whole := bytes.Cut(data, []byte("\n"))
	first := strings.TrimSuffix(string(line[:min(len(line), maxText)]), "\r")
	m := Message{Protocol: "HTTP"}
	switch method, target, _ := strings.Cut(first, " "); {
	case slices.Contains(methods, method) && target != "":
		target, version, found := strings.Cut(target, " ")
		if whole && (!found || !strings.HasPrefix(version, "HTTP/1.")) {
			return nil
		}
		m.Request, m.Summary = true, method+" "+target
	case strings.HasPrefix(method, "HTTP/1.") && len(target) >= 3:
		m.Summary, m.Error = target, target[0] == '4' || target[0] == '5'
	default:
		return nil
	}
	for whole && len(m.Details) < maxMessages {
		if line, rest, whole = bytes.Cut(rest, []byte("\n")); !whole && len(line) == 0 {
			break
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 { // the head is over
			if len(rest) > 0 {
				m.Details = append(m.Details, Detail{"body", text(rest)})
			}
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			if !whole {
				break // cut in the middle of a name
			}
			return nil
		}
		m.Details = append(m.Details, Detail{text(name), text(bytes.TrimSpace(value))})
	}
	return []Message{m}
}
