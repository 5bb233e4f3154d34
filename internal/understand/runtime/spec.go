package runtime

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"rollcage/internal/observe/host"
)

// parseSpec reads an OCI runtime configuration, nil if it is none.
func parseSpec(data []byte) *specs.Spec {
	var s specs.Spec
	if len(data) == 0 || json.Unmarshal(data, &s) != nil {
		return nil
	}
	return &s
}

// setSpec fills what the configuration of a container, as its OCI runtime gets it, tells.
func setSpec(c *host.Container, s *specs.Spec) {
	if s.Process != nil {
		c.User = strconv.FormatUint(uint64(s.Process.User.UID), 10)
		c.Env = s.Process.Env
	}
	c.Mounts = specMounts(s.Mounts)
	c.Privileged = specPrivileged(s)
	if s.Linux == nil {
		return
	}
	c.HostPID = sharesHost(s.Linux.Namespaces, specs.PIDNamespace)
	c.HostNetwork = sharesHost(s.Linux.Namespaces, specs.NetworkNamespace)
	c.HostIPC = sharesHost(s.Linux.Namespaces, specs.IPCNamespace)
	if r := s.Linux.Resources; r != nil {
		if m := r.Memory; m != nil {
			c.MemoryLimit, c.SwapLimit = value(m.Limit), value(m.Swap)
		}
		if cpu := r.CPU; cpu != nil {
			c.CPUShares, c.CPUQuota, c.CPUPeriod = int64(value(cpu.Shares)), value(cpu.Quota), int64(value(cpu.Period))
			c.CPUSetCount = cpuCount(cpu.Cpus)
		}
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// sharesHost reports whether the container has no namespace of that kind of
// its own, nor one of another container.
func sharesHost(in []specs.LinuxNamespace, kind specs.LinuxNamespaceType) bool {
	i := slices.IndexFunc(in, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	return i < 0 || strings.HasPrefix(in[i].Path, "/proc/1/")
}

// specMounts returns the mounts of the host's files; those of /proc, /sys and
// the like every container has.
func specMounts(in []specs.Mount) []host.Mount {
	out := []host.Mount{}
	for _, m := range in {
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			continue
		}
		mount := host.Mount{Source: m.Source, Destination: m.Destination, RW: !slices.Contains(m.Options, "ro")}
		for _, o := range m.Options {
			switch strings.TrimPrefix(o, "r") {
			case "private", "shared", "slave":
				mount.Propagation = o
			}
		}
		out = append(out, mount)
	}
	return out
}

// specPrivileged reports whether nothing of what runtimes take from a
// container that is not privileged is taken from this one: the capability to
// administer the system, the hidden and read-only parts of /proc, the filter
// of system calls, writable /sys. No configuration says it in so many words.
func specPrivileged(s *specs.Spec) bool {
	if s.Linux == nil || s.Process == nil || s.Process.Capabilities == nil ||
		!slices.Contains(s.Process.Capabilities.Bounding, "CAP_SYS_ADMIN") ||
		len(s.Linux.MaskedPaths) > 0 || len(s.Linux.ReadonlyPaths) > 0 || s.Linux.Seccomp != nil {
		return false
	}
	return !slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool {
		return m.Type == "sysfs" && slices.Contains(m.Options, "ro")
	})
}
