package dissect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// What the first byte of a PostgreSQL message (protocol 3) says.
var (
	postgresAsks = map[byte]string{
		'Q': "query", 'P': "parse", 'B': "bind", 'E': "execute", 'D': "describe", 'C': "close",
		'S': "sync", 'X': "terminate", 'p': "password", 'H': "flush", 'F': "function call",
		'd': "copy data", 'c': "copy done", 'f': "copy failed",
	}
	postgresSays = map[byte]string{
		'R': "authentication", 'S': "parameter", 'K': "backend key", 'Z': "ready", 'T': "columns", 'D': "row",
		'C': "done", 'E': "error", 'N': "notice", '1': "parsed", '2': "bound", '3': "closed", 'I': "empty query",
		'n': "no data", 's': "suspended", 't': "parameter types", 'A': "notification",
		'G': "copy in", 'H': "copy out", 'd': "copy data", 'c': "copy done",
	}
)

const (
	postgresVersion = 3 << 16
	postgresTLS     = 80877103
	postgresCancel  = 80877102
)

func postgres(data []byte, c Context) []Message {
	if c.FromClient {
		if m := postgresStart(data); m != nil {
			return m
		}
	}
	kinds := postgresSays
	if c.FromClient {
		kinds = postgresAsks
	}
	var out []Message
	for len(data) >= 5 && len(out) < maxMessages {
		kind, n := kinds[data[0]], int(binary.BigEndian.Uint32(data[1:]))
		if kind == "" || n < 4 || n > 1<<30 {
			break
		}
		body := data[5:min(len(data), 1+n)]
		m := Message{Protocol: "PostgreSQL", Request: c.FromClient, Summary: kind}
		postgresBody(&m, data[0], body, c.FromClient)
		out = append(out, m)
		if len(data) <= 1+n {
			break
		}
		data = data[1+n:]
	}
	return out
}

// postgresStart reads what a client says first, which has no kind.
func postgresStart(data []byte) []Message {
	if len(data) < 8 {
		return nil
	}
	m := Message{Protocol: "PostgreSQL", Request: true}
	switch n, code := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:]); {
	case n == 8 && code == postgresTLS:
		m.Summary = "asks for TLS"
	case n == 16 && code == postgresCancel:
		m.Summary = "cancel"
	case n >= 9 && n < 1<<16 && code == postgresVersion:
		m.Summary = "start"
		words := bytes.Split(data[8:min(len(data), int(n))], []byte{0})
		for i := 0; i+1 < len(words) && len(words[i]) > 0; i += 2 {
			m.Details = append(m.Details, Detail{text(words[i]), text(words[i+1])})
			if w := string(words[i]); w == "user" || w == "database" {
				m.Summary += " " + w + "=" + text(words[i+1])
			}
		}
	default:
		return nil
	}
	return []Message{m}
}

func postgresBody(m *Message, kind byte, body []byte, request bool) {
	word := func(b []byte) string {
		w, _, _ := bytes.Cut(b, []byte{0})
		return text(w)
	}
	switch {
	case request && kind == 'Q':
		m.Summary = word(body)
	case request && kind == 'P':
		name, rest, _ := bytes.Cut(body, []byte{0})
		m.Summary = "parse " + word(rest)
		if len(name) > 0 {
			m.Details = append(m.Details, Detail{"statement", text(name)})
		}
	case request && kind == 'p':
		m.Summary = "password"
	case !request && (kind == 'E' || kind == 'N'):
		m.Error = kind == 'E'
		var said []string
		for _, f := range bytes.Split(body, []byte{0}) {
			if len(f) > 1 && strings.IndexByte("SCMDH", f[0]) >= 0 {
				m.Details = append(m.Details, Detail{string(f[:1]), text(f[1:])})
				if f[0] == 'S' || f[0] == 'M' {
					said = append(said, text(f[1:]))
				}
			}
		}
		m.Summary = strings.Join(said, ": ")
	case !request && kind == 'C':
		m.Summary = word(body)
	case !request && kind == 'S':
		name, rest, _ := bytes.Cut(body, []byte{0})
		m.Summary = "parameter " + text(name) + "=" + word(rest)
	case !request && kind == 'D':
		m.Summary = "row " + postgresRow(body)
	}
}

// postgresRow returns the columns of a row as far as they are there.
func postgresRow(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	var cols []string
	for i := 0; i < n && len(b) >= 4 && len(cols) < maxMessages; i++ {
		size := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if size < 0 {
			cols = append(cols, "NULL")
			continue
		}
		end := min(len(b), int(size))
		cols = append(cols, text(b[:end]))
		b = b[end:]
	}
	if len(cols) < n {
		return fmt.Sprintf("%s … (%d columns)", strings.Join(cols, " | "), n)
	}
	return strings.Join(cols, " | ")
}
