package dissect

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// dns reads a DNS message. Over TCP a length stands before it.
func dns(data []byte, c Context) []Message {
	if !c.Datagram && len(data) >= 2 && int(binary.BigEndian.Uint16(data)) >= 12 {
		data = data[2:]
	}
	var p dnsmessage.Parser
	h, err := p.Start(data)
	if err != nil {
		return nil
	}
	m := Message{Protocol: "DNS", Request: !h.Response, Error: h.Response && h.RCode != dnsmessage.RCodeSuccess}
	var asked []string
	for range 8 {
		q, err := p.Question()
		if err != nil {
			break
		}
		name := q.Name.String() + " " + kindOf(q.Type)
		asked = append(asked, name)
		m.Details = append(m.Details, Detail{"question", name})
	}
	if len(asked) == 0 {
		return nil
	}
	m.Summary = strings.Join(asked, ", ")
	if !h.Response {
		m.Details = append(m.Details, Detail{"id", fmt.Sprint(h.ID)})
		return []Message{m}
	}
	var got []string
	if p.SkipAllQuestions() == nil {
		got = answers(&p)
	}
	for _, a := range got {
		m.Details = append(m.Details, Detail{"answer", a})
	}
	result := strings.ToLower(strings.TrimPrefix(h.RCode.String(), "RCode"))
	if h.RCode == dnsmessage.RCodeSuccess {
		result = strings.Join(got, ", ")
	}
	m.Summary += " → " + result
	m.Details = append(m.Details, Detail{"id", fmt.Sprint(h.ID)})
	return []Message{m}
}

func kindOf(t dnsmessage.Type) string { return strings.TrimPrefix(t.String(), "Type") }

// answers returns the answers as far as the data has them.
func answers(p *dnsmessage.Parser) []string {
	var out []string
	for range maxMessages {
		r, err := p.Answer()
		if err != nil {
			break
		}
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			out = append(out, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			out = append(out, netip.AddrFrom16(b.AAAA).String())
		case *dnsmessage.CNAMEResource:
			out = append(out, "CNAME "+b.CNAME.String())
		case *dnsmessage.PTRResource:
			out = append(out, "PTR "+b.PTR.String())
		case *dnsmessage.MXResource:
			out = append(out, "MX "+b.MX.String())
		case *dnsmessage.NSResource:
			out = append(out, "NS "+b.NS.String())
		case *dnsmessage.SRVResource:
			out = append(out, fmt.Sprintf("SRV %s:%d", b.Target, b.Port))
		case *dnsmessage.TXTResource:
			out = append(out, "TXT "+strings.Join(b.TXT, ""))
		default:
			out = append(out, kindOf(r.Header.Type))
		}
	}
	return out
}
