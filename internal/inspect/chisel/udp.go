package chisel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rollcage/internal/observe/host"
)

// udpFolder is where udp_extract writes.
const udpFolder = "udp_dump_files"

// udpExtract appends the data of datagrams to a file for each connection. No
// file stays open, so that their number does not matter.
func udpExtract(env *Env, _ Values) (*Run, error) {
	if env.Live {
		return nil, errors.New("chisel udp_extract reads a capture, which -r names")
	}
	data, name := env.read("evt.rawarg.data"), env.read("fd.name")
	begun := map[string]bool{}
	return &Run{
		Condition: "evt.dir=< and evt.rawres>=0 and fd.l4proto=udp and evt.is_io=true", Snaplen: 16384,
		Begin: func() error { return os.MkdirAll(udpFolder, 0o700) },
		Event: func(he *host.Event) error {
			b, ok := data.raw(he)
			tuple, named := name.lookup(he)
			if !ok || !named || b == "" {
				return nil
			}
			path := filepath.Join(udpFolder, udpFile(tuple))
			flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
			if !begun[path] {
				if len(begun) >= maxGroups {
					return fmt.Errorf("%s holds the data of %d connections: there are too many for one folder", udpFolder, len(begun))
				}
				begun[path], flags = true, flags|os.O_TRUNC
			}
			return appendTo(path, flags, b)
		},
	}, nil
}

// udpFile returns the name of the file of a connection.
func udpFile(tuple string) string {
	return strings.NewReplacer(":", "_", ">", "-", "/", "_").Replace(tuple)
}

func appendTo(path string, flags int, data string) error {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(data)
	return errors.Join(err, f.Close())
}
