package field

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"rollcage/internal/observe/event"
)

// servicesText holds a service a line: name, port.
//
//go:embed services.txt
var servicesText string

// serviceTable is the names of services both ways.
type serviceTable struct {
	ports map[string]uint16
	names map[uint16]string // the first name of a port
}

var services = sync.OnceValue(func() serviceTable {
	t := serviceTable{map[string]uint16{}, map[uint16]string{}}
	for line := range strings.Lines(servicesText) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			continue // a comment
		}
		t.ports[name] = uint16(n)
		if _, ok := t.names[uint16(n)]; !ok {
			t.names[uint16(n)] = name
		}
	}
	return t
})

// ServicePort returns the port of a service by the table that comes with the
// program, so that rules mean the same everywhere.
func ServicePort(name string) (uint16, bool) {
	p, ok := services().ports[name]
	return p, ok
}

// serviceName returns the service of a TCP or UDP port, "" if it has none.
func serviceName(port uint16, proto event.L4Proto) string {
	if proto == event.L4ICMP || proto == event.L4Raw {
		return ""
	}
	if name := udpServices[port]; proto == event.L4UDP && name != "" {
		return name
	}
	return services().names[port]
}

// udpServices are the ports that mean another service over UDP.
var udpServices = map[uint16]string{512: "biff", 513: "who", 514: "syslog", 520: "route"}
