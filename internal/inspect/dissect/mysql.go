package dissect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// mysqlCommands are the commands of MySQL's protocol that carry text, and others by name.
var mysqlCommands = map[byte]string{
	0x01: "quit", 0x02: "use", 0x03: "query", 0x04: "list fields", 0x05: "create database", 0x06: "drop database",
	0x07: "refresh", 0x09: "statistics", 0x0a: "process list", 0x0c: "kill", 0x0e: "ping", 0x11: "change user",
	0x12: "binlog dump", 0x16: "prepare", 0x17: "execute", 0x18: "long data", 0x19: "close statement", 0x1a: "reset statement",
	0x1b: "set option", 0x1c: "fetch", 0x1f: "reset connection",
}

// mysql reads the first packet of a piece of data: u24 length, u8 sequence, body.
func mysql(data []byte, c Context) []Message {
	if len(data) < 5 {
		return nil
	}
	n, seq := int(data[0])|int(data[1])<<8|int(data[2])<<16, data[3]
	body := data[4:min(len(data), 4+n)]
	if n == 0 || len(body) == 0 {
		return nil
	}
	m := Message{Protocol: "MySQL", Request: c.FromClient}
	if c.FromClient {
		if !mysqlCommand(&m, body, seq) {
			return nil
		}
		return []Message{m}
	}
	// MariaDB says behind the number of columns whether their names follow.
	if seq == 1 && len(body) <= 2 && body[0] > 0 && body[0] < 0xfb {
		m.Summary = fmt.Sprintf("%d columns", body[0])
		return append([]Message{m}, mysqlRows(data[min(len(data), 4+n):], int(body[0]))...)
	}
	if !mysqlReply(&m, body, seq) {
		return nil
	}
	return []Message{m}
}

// mysqlRows reads the rows of a result as far as they are there: the packets
// behind those that describe the columns.
func mysqlRows(data []byte, columns int) []Message {
	var out []Message
	for i := 0; len(data) > 4 && len(out) < maxMessages; i++ {
		n := int(data[0]) | int(data[1])<<8 | int(data[2])<<16
		if n == 0 || len(data) < 4+n {
			break
		}
		body := data[4 : 4+n]
		data = data[4+n:]
		end := body[0] == 0xfe && n < 9
		if i < columns || end {
			continue
		}
		cells, ok := mysqlCells(body, columns)
		if !ok {
			break
		}
		out = append(out, Message{Protocol: "MySQL", Summary: "row " + strings.Join(cells, " | ")})
	}
	return out
}

// mysqlCells reads a row of the text protocol: u8 length below 0xfb, else 0xfb
// for NULL or a wider length, and the text.
func mysqlCells(b []byte, columns int) ([]string, bool) {
	var cells []string
	for len(b) > 0 && len(cells) < columns {
		n, wide := int(b[0]), 0
		switch b[0] {
		case 0xfb:
			cells, b = append(cells, "NULL"), b[1:]
			continue
		case 0xfc:
			wide = 2
		case 0xfd:
			wide = 3
		case 0xfe, 0xff:
			return nil, false
		}
		if len(b) < 1+wide {
			return nil, false
		}
		if wide > 0 {
			n = 0
			for i := range wide {
				n |= int(b[1+i]) << (8 * i)
			}
		}
		b = b[1+wide:]
		if len(b) < n {
			return nil, false
		}
		cells, b = append(cells, text(b[:n])), b[n:]
	}
	return cells, len(cells) == columns && len(b) == 0
}

func mysqlCommand(m *Message, body []byte, seq byte) bool {
	if seq == 1 {
		return mysqlLogin(m, body)
	}
	name := mysqlCommands[body[0]]
	if seq != 0 || name == "" {
		return false
	}
	m.Summary = name
	switch body[0] {
	case 0x03:
		m.Summary = text(body[1:])
	case 0x02, 0x05, 0x06, 0x16:
		m.Summary += " " + text(body[1:])
	}
	return true
}

// mysqlLogin reads the answer to the handshake: u32 capabilities, u32 largest
// packet, u8 character set, 19 zero bytes, 4 more (MariaDB has capabilities there), user.
func mysqlLogin(m *Message, body []byte) bool {
	const fixed = 32
	if len(body) < fixed+1 || !bytes.Equal(body[9:fixed-4], make([]byte, fixed-4-9)) {
		return false
	}
	user, _, _ := bytes.Cut(body[fixed:], []byte{0})
	m.Summary = "login user=" + text(user)
	return true
}

func mysqlReply(m *Message, body []byte, seq byte) bool {
	switch {
	case body[0] == 0x0a && seq == 0:
		version, _, _ := bytes.Cut(body[1:], []byte{0})
		m.Summary = "server " + text(version)
	case body[0] == 0xff && len(body) >= 3:
		code, rest := binary.LittleEndian.Uint16(body[1:]), body[3:]
		if len(rest) >= 6 && rest[0] == '#' {
			rest = rest[6:]
		}
		m.Error, m.Summary = true, fmt.Sprintf("error %d: %s", code, text(rest))
	case body[0] == 0x00:
		m.Summary = "ok"
	case body[0] == 0xfe && len(body) < 9:
		m.Summary = "end of rows"
	default:
		return false
	}
	return true
}
