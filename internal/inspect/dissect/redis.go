package dissect

import (
	"bytes"
	"strconv"
	"strings"
)

// redis reads commands and replies of the Redis protocol (RESP 2 and 3).
func redis(data []byte, c Context) []Message {
	var out []Message
	for len(data) > 0 && len(out) < maxMessages {
		v, rest, ok := value(data, 0)
		if !ok && v == "" {
			break
		}
		m := Message{Protocol: "Redis", Request: data[0] == '*' && c.FromClient, Error: data[0] == '-' || data[0] == '!', Summary: v}
		out = append(out, m)
		if !ok {
			break
		}
		data = rest
	}
	return out
}

// redisElsewhere reads Redis commands on ports that are not Redis's: an array
// of strings cannot be taken for something else.
func redisElsewhere(data []byte, c Context) []Message {
	if c.ServerPort == 0 || !c.FromClient || len(data) < 7 || data[0] != '*' || !bytes.Contains(data[:min(len(data), 8)], []byte("\r\n$")) {
		return nil
	}
	return redis(data, c)
}

// value reads one value as text. It reports false when the data ends in it;
// what is there is returned all the same.
func value(data []byte, depth int) (string, []byte, bool) {
	if depth > 8 || len(data) == 0 || !strings.ContainsRune("+-:$*_,#(!=%~>", rune(data[0])) {
		return "", nil, false
	}
	line, rest, ok := bytes.Cut(data[1:], []byte("\r\n"))
	head := text(line)
	if !ok {
		if strings.ContainsRune("+-:", rune(data[0])) {
			return head, nil, false
		}
		return "", nil, false
	}
	switch data[0] {
	case '$', '!', '=':
		n, err := strconv.Atoi(head)
		switch {
		case err != nil:
			return "", nil, false
		case n < 0:
			return "(nil)", rest, true
		case len(rest) < n+2:
			return text(rest[:min(len(rest), n)]), nil, false
		}
		return text(rest[:n]), rest[n+2:], true
	case '*', '%', '~', '>':
		n, err := strconv.Atoi(head)
		if err != nil {
			return "", nil, false
		}
		if data[0] == '%' {
			n *= 2
		}
		return array(rest, n, depth)
	case '_':
		return "(nil)", rest, true
	}
	return head, rest, true
}

func array(rest []byte, n, depth int) (string, []byte, bool) {
	var words []string
	for i := 0; i < n; i++ {
		v, r, ok := value(rest, depth+1)
		if v != "" || ok {
			words = append(words, v)
		}
		if !ok || len(words) > maxMessages {
			return strings.Join(words, " "), nil, false
		}
		rest = r
	}
	return strings.Join(words, " "), rest, true
}
