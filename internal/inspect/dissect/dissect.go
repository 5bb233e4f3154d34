// Package dissect reads the application protocols that containers speak, out of
// the data of single reads and writes: HTTP/1, DNS, Redis, PostgreSQL and MySQL.
//
// A capture holds what a call moved, often only its beginning. So each piece of
// data is looked at by itself, nothing is expected to be whole, and what cannot
// be told from a few bytes is not guessed: data that does not look like a
// protocol gives nothing. All input is foreign; no length in it is believed.
package dissect

// Message is what a piece of data says.
type Message struct {
	Protocol string `json:"protocol"` // HTTP, DNS, Redis, PostgreSQL, MySQL
	// Request is true for what a client says.
	Request bool `json:"request"`
	// Summary is one line: "GET /login", "404 Not Found", "SELECT 1".
	Summary string `json:"summary"`
	// Error is true when the message reports a failure.
	Error bool `json:"error,omitempty"`
	// Details are named parts, in the order in which they stand.
	Details []Detail `json:"details,omitempty"`
}

// Detail is a named part of a message.
type Detail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Context is what is known beside the data.
type Context struct {
	// ServerPort is the port of the server's end, 0 if there is none.
	ServerPort uint16
	// FromClient is true when the client sent the data.
	FromClient bool
	// Datagram is true for data of a datagram socket.
	Datagram bool
}

const (
	maxMessages = 64   // out of one piece of data
	maxText     = 4096 // bytes of a summary or detail
)

// dissector reads one protocol. It returns nil for data that is not of it.
type dissector func(data []byte, c Context) []Message

// byPort are the protocols whose data does not tell them apart for sure.
var byPort = map[uint16]dissector{
	53: dns, 5353: dns,
	6379: redis, 6380: redis, 26379: redis,
	5432: postgres, 5433: postgres, 6432: postgres,
	3306: mysql, 3307: mysql, 33060: mysql,
}

// Messages returns the messages in data, nil if it is of no known protocol.
func Messages(data []byte, c Context) []Message {
	if len(data) == 0 {
		return nil
	}
	if m := http(data, c); m != nil {
		return m
	}
	if d := byPort[c.ServerPort]; d != nil {
		return d(data, c)
	}
	return redisElsewhere(data, c)
}

// text returns bytes as text of bounded length; what is not printable is for
// the reader of the message to make harmless.
func text(b []byte) string {
	if len(b) > maxText {
		return string(b[:maxText]) + "…"
	}
	return string(b)
}
