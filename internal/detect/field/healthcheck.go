package field

import (
	"path"
	"slices"

	"rollcage/internal/observe/host"
)

// checkFields tell the processes by which a runtime looks after a container
// from those of the container's own work. Falco has fields of these names
// without a value; here they have one where the runtime says what it runs.
var checkFields = []Def{
	{Name: "proc.is_container_healthcheck", Type: boolean, Flags: Deprecated, Scope: ScopeProcess,
		Doc:     "Whether the runtime started the process, or one above it, as the container's health check.",
		Example: "not proc.is_container_healthcheck = true", bind: isCheck(func(c *host.Container) *host.Probe { return c.Healthcheck })},
	{Name: "proc.is_container_liveness_probe", Type: boolean, Flags: Deprecated, Scope: ScopeProcess,
		Doc:     "Whether the runtime started the process, or one above it, as the container's liveness probe.",
		Example: "not proc.is_container_liveness_probe = true", bind: isCheck(func(c *host.Container) *host.Probe { return c.Liveness })},
	{Name: "proc.is_container_readiness_probe", Type: boolean, Flags: Deprecated, Scope: ScopeProcess,
		Doc:     "Whether the runtime started the process, or one above it, as the container's readiness probe.",
		Example: "not proc.is_container_readiness_probe = true", bind: isCheck(func(c *host.Container) *host.Probe { return c.Readiness })},
}

// isCheck binds whether the process came into its container by the command of
// a check. There is no value on the host and for containers without the check.
func isCheck(which func(c *host.Container) *host.Probe) binder {
	return number(func(e *host.Event) (uint64, bool) {
		c := containerOf(e)
		if c == nil || which(c) == nil {
			return 0, false
		}
		return bit(runs(entrance(e.Process()), which(c))), true
	})
}

// entrance returns the process through which a process came into its
// container: itself, or the oldest of its ancestors that are in it.
func entrance(t *host.Thread) *host.Thread {
	for range maxAncestors {
		if t.Parent == nil || t.Parent.Container != t.Container {
			break
		}
		t = t.Parent
	}
	return t
}

// initProcess is the id of a container's first process, which is no check
// whatever it runs.
const initProcess = 1

// interpreterWords is how many words the kernel puts before the name of a
// script: the interpreter, and one argument for it.
const interpreterWords = 2

// runs reports whether the command line of a process is that of a check.
func runs(t *host.Thread, check *host.Probe) bool {
	if t.VPID == initProcess {
		return false
	}
	before := len(t.Args) - len(check.Args)
	switch {
	case before < 0 || before > interpreterWords || !slices.Equal(t.Args[before:], check.Args):
		return false
	case before > 0: // the check is a script
		return path.Base(t.Args[before-1]) == path.Base(check.Exe)
	}
	return path.Base(t.Exe) == path.Base(check.Exe)
}
