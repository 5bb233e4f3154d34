package dissect

import (
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var (
	ask = Context{FromClient: true}
	say = Context{}
)

func on(port uint16, c Context) Context {
	c.ServerPort = port
	return c
}

func packDNS(t testing.TB, m dnsmessage.Message) string {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMessages(t *testing.T) {
	name := dnsmessage.MustNewName("db.internal.")
	question := []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
	for what, c := range map[string]struct {
		data string
		in   Context
		want string // protocol, "?" for a request, "!" for an error, summaries joined by ;
	}{
		"an HTTP request":                 {"GET /login?a=b HTTP/1.1\r\nHost: x\r\n\r\n", ask, "HTTP? GET /login?a=b"},
		"an HTTP request that is cut":     {"POST /a/very/long/pa", ask, "HTTP? POST /a/very/long/pa"},
		"an HTTP request cut in a header": {"GET / HTTP/1.1\r\nHost: x\r\nUser-Ag", ask, "HTTP? GET /"},
		"an HTTP response":                {"HTTP/1.1 502 Bad Gateway\r\nServer: haproxy\r\n\r\n<html>", say, "HTTP! 502 Bad Gateway"},
		"text that begins like HTTP":      {"GET out of here\nnow", ask, ""},
		"a DNS question":                  {packDNS(t, dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: question}), on(53, Context{FromClient: true, Datagram: true}), "DNS? db.internal. A"},
		"a DNS answer":                    {packDNS(t, dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: question, Answers: []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 5}}}}}), on(53, Context{Datagram: true}), "DNS db.internal. A → 10.0.0.5"},
		"a DNS name that is not there":    {packDNS(t, dnsmessage.Message{Header: dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeNameError}, Questions: question}), on(53, Context{Datagram: true}), "DNS! db.internal. A → nameerror"},
		"a Redis command":                 {"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n", on(6379, ask), "Redis? SET a hello"},
		"a Redis command elsewhere":       {"*1\r\n$4\r\nPING\r\n", on(9999, ask), "Redis? PING"},
		"a Redis command that is cut":     {"*2\r\n$3\r\nGET\r\n$100\r\nabc", on(6379, ask), "Redis? GET abc"},
		"Redis replies":                   {"+OK\r\n:42\r\n$-1\r\n", on(6379, say), "Redis OK;42;(nil)"},
		"a Redis error":                   {"-ERR unknown command\r\n", on(6379, say), "Redis! ERR unknown command"},
		"a PostgreSQL start":              {"\x00\x00\x00\x20\x00\x03\x00\x00user\x00app\x00database\x00shop\x00\x00", on(5432, ask), "PostgreSQL? start user=app database=shop"},
		"a PostgreSQL query":              {"Q\x00\x00\x00\x0dSELECT 1\x00", on(5432, ask), "PostgreSQL? SELECT 1"},
		"a PostgreSQL error":              {"E\x00\x00\x00\x1bSERROR\x00C42P01\x00Mno such\x00\x00", on(5432, say), "PostgreSQL! ERROR: no such"},
		"PostgreSQL rows":                 {"D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01" + "7C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I", on(5432, say), "PostgreSQL row 7;SELECT 1;ready"},
		"a MySQL query":                   {"\x09\x00\x00\x00\x03SELECT 1", on(3306, ask), "MySQL? SELECT 1"},
		"a MySQL greeting":                {"\x4a\x00\x00\x00\x0a8.0.36\x00xxxx", on(3306, say), "MySQL server 8.0.36"},
		"a MySQL error":                   {"\x20\x00\x00\x01\xff\x15\x04#28000Access denied", on(3306, say), "MySQL! error 1045: Access denied"},
		"a MySQL result": {"\x02\x00\x00\x01\x02\x01" + "\x03\x00\x00\x02def" + "\x03\x00\x00\x03def" + "\x05\x00\x00\x04\xfe\x00\x00\x02\x00" +
			"\x06\x00\x00\x05\x0242\x02no" + "\x04\x00\x00\x06\xfb\x02no" + "\x05\x00\x00\x07\xfe\x00\x00\x02\x00", on(3306, say), "MySQL 2 columns;row 42 | no;row NULL | no"},
		"a MariaDB login":                   {"\x50\x00\x00\x01" + strings.Repeat("\x01", 9) + strings.Repeat("\x00", 19) + "\x1d\x00\x00\x00root\x00", on(3306, ask), "MySQL? login user=root"},
		"a MySQL login":                     {"\x50\x00\x00\x01" + strings.Repeat("\x01", 9) + strings.Repeat("\x00", 23) + "root\x00", on(3306, ask), "MySQL? login user=root"},
		"TLS":                               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", on(443, ask), ""},
		"nothing":                           {"", ask, ""},
		"a length that promises too much":   {"Q\x7f\xff\xff\xffSELECT", on(5432, ask), ""},
		"a Redis array of a billion":        {"*1000000000\r\n", on(6379, ask), ""},
		"a Redis array within itself":       {strings.Repeat("*1\r\n", 1000), on(6379, ask), ""},
		"PostgreSQL that is something else": {"HELO mail\r\n", on(5432, ask), ""},
	} {
		got := ""
		for i, m := range Messages([]byte(c.data), c.in) {
			if i == 0 {
				got = m.Protocol
				if m.Request {
					got += "?"
				}
				if m.Error {
					got += "!"
				}
				got += " "
			} else {
				got += ";"
			}
			got += m.Summary
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

func FuzzMessages(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\na: b\r\n\r\n", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "Q\x00\x00\x00\x0dSELECT 1\x00", "\x09\x00\x00\x00\x03SELECT 1"} {
		for _, port := range []uint16{0, 53, 6379, 5432, 3306} {
			f.Add([]byte(s), port, true)
			f.Add([]byte(s), port, false)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, port uint16, client bool) {
		for _, m := range Messages(data, Context{ServerPort: port, FromClient: client, Datagram: port%2 == 1}) {
			if m.Protocol == "" || len(m.Summary) > 40*maxText {
				t.Errorf("%+v", m)
			}
		}
	})
}
