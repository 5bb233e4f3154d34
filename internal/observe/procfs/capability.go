package procfs

import "golang.org/x/sys/unix"

// MissingCapabilities names the capabilities that this process lacks to read
// everything about the processes of others: their executables, descriptors and
// root directories. Without them what cannot be read stays unknown.
func MissingCapabilities() []string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return nil
	}
	var missing []string
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, {unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}} {
		if data[c.bit/32].Effective>>(c.bit%32)&1 == 0 {
			missing = append(missing, c.name)
		}
	}
	return missing
}
