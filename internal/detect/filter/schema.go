package filter

import (
	"context"
	"net"
	"net/netip"

	"rollcage/internal/detect/field"
)

// Schema says what the names in conditions and formats mean.
type Schema struct {
	// Field returns the field with that name and argument.
	Field func(name, arg string, hasArg bool) (*field.Field, error)
	// Longest returns the longest name of a field, without argument in
	// brackets, that text begins with, and its length, 0 if there is none.
	Longest func(text string) (name string, n int)
	// Service returns the port of a service.
	Service func(name string) (uint16, bool)
	// Classic makes conditions answer as Falco's do where that is surprising:
	// fd.ip, proc.apid and numbers of evt.rawarg are in no list, of a list of
	// networks only the first counts for fd.net, and fd.ip, fd.port and fd.net
	// exist for descriptors of every kind.
	Classic bool
	// Resolve returns the addresses of a host, for fd.sip.name and the like.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Standard is the schema of this program: the fields of package field, the
// usual services and those of the machine, the machine's name service.
var Standard = &Schema{Field: field.Parse, Longest: field.Longest, Service: servicePort, Resolve: resolveHost}

// servicePort looks a service up in the table that comes with the program,
// so that rules mean the same everywhere, and then in the machine's.
func servicePort(name string) (uint16, bool) {
	if port, ok := field.ServicePort(name); ok {
		return port, true
	}
	local := net.Resolver{PreferGo: true}
	for _, network := range []string{"tcp", "udp"} {
		if port, err := local.LookupPort(context.Background(), network, name); err == nil {
			return uint16(port), true
		}
	}
	return 0, false
}

func resolveHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
