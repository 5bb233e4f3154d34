package ruletest

import (
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// call is an event that is being put together.
type call struct {
	info   *event.Info
	code   *event.Syscall // for the generic event
	thread *host.Thread   // nil if no process causes it
	step   *step
	values map[string]any // that the test gives
	nextFD int64          // smallest number that the process does not use
}

// fallback returns the value of parameter i when the test gives none: what
// would be there if the call was unremarkable and succeeded.
func (c *call) fallback(i int) any {
	param := &c.info.Params[i]
	if c.thread != nil && c.info.ParamIndex("ptid") >= 0 {
		if f := processParams[param.Name]; f != nil {
			return f(c)
		}
	}
	switch {
	case i == 0 && c.info.Flags&event.CreatesFD != 0 && !c.info.Type.IsEnter():
		return c.newDescriptor()
	case param.Type == event.TypeFD && strings.Contains(param.Name, "dir"):
		return uint64(atCWD)
	}
	if f := otherParams[param.Name]; f != nil {
		return f(c)
	}
	switch {
	case param.Type == event.TypeFD:
		return int64(-1)
	case param.Type.Size() != 0 && param.Type.Size() <= 8:
		return uint64(0)
	}
	return nil
}

// newDescriptor is the result of a call that makes one.
func (c *call) newDescriptor() any {
	if v, ok := c.values["newfd"]; ok {
		return v // dup2 and dup3
	}
	if _, pair := c.values["fd1"]; pair || c.info.ParamIndex("fd1") >= 0 {
		return uint64(0)
	}
	return c.nextFD
}

// startTime is when tests happen, ns since the epoch.
const startTime = 1_700_000_000e9

// processParams are the parameters that the events of clone and exec describe
// the process with.
var processParams = map[string]func(c *call) any{
	"tid":   func(c *call) any { return c.thread.TID },
	"pid":   func(c *call) any { return c.thread.PID },
	"ptid":  func(c *call) any { return c.thread.PTID },
	"exe":   func(c *call) any { return c.text("trusted_exepath", c.text("filename", c.thread.Exe)) },
	"args":  func(c *call) any { return c.unlessExec(list(c.thread.Args)) },
	"cwd":   func(c *call) any { return c.thread.Leader.Cwd },
	"comm":  func(c *call) any { return c.comm() },
	"env":   func(c *call) any { return list(c.thread.Leader.Env) },
	"uid":   func(c *call) any { return c.thread.UID },
	"gid":   func(c *call) any { return c.thread.GID },
	"tty":   func(c *call) any { return c.thread.TTY },
	"pgid":  func(c *call) any { return c.thread.PGID },
	"vpgid": func(c *call) any { return c.thread.VPGID },
	"vtid":  func(c *call) any { return c.thread.VTID },
	"vpid":  func(c *call) any { return c.thread.VPID },

	"fdlimit":         func(c *call) any { return c.thread.FDLimit },
	"loginuid":        func(c *call) any { return c.thread.LoginUID },
	"cgroups":         func(c *call) any { return list(c.thread.Cgroups) },
	"cap_inheritable": func(c *call) any { return c.thread.CapInheritable },
	"cap_permitted":   func(c *call) any { return c.thread.CapPermitted },
	"cap_effective":   func(c *call) any { return c.thread.CapEffective },
	"exe_ino":         func(c *call) any { return uint64(1) },
	"exe_ino_ctime":   func(c *call) any { return uint64(startTime - 86400e9) },
	"exe_ino_mtime":   func(c *call) any { return uint64(startTime - 86400e9) },
	"trusted_exepath": func(c *call) any { return c.exePath() },
	"filename":        func(c *call) any { return c.text("exe", c.text("trusted_exepath", c.thread.Exe)) },
}

// otherParams are parameters of other events whose value follows from what
// the test gives.
var otherParams = map[string]func(c *call) any{
	"res":    func(c *call) any { return c.transferred() },
	"size":   func(c *call) any { return c.transferred() },
	"fd1":    func(c *call) any { return c.nextFD },
	"fd2":    func(c *call) any { return c.nextFD + 1 },
	"domain": func(c *call) any { return uint64(familyIPv4) },
	"tuple":  func(c *call) any { return c.tuple() },
	"addr":   func(c *call) any { return nil },
	"ID":     func(c *call) any { return uint64(c.syscall().Code) },
	"nativeID": func(c *call) any {
		for _, n := range event.NativeSyscalls("x86_64") {
			if n.Syscall == c.syscall() {
				return uint64(n.Nr)
			}
		}
		return uint64(0)
	},
}

// exec reports whether the event replaces the program.
func (c *call) exec() bool { return c.info.ParamIndex("trusted_exepath") >= 0 }

// unlessExec returns nothing for exec, whose arguments are new, and v otherwise.
func (c *call) unlessExec(v []byte) any {
	if c.exec() {
		return []byte{}
	}
	return v
}

// text returns the string that the test gives for a parameter, or def.
func (c *call) text(param, def string) string {
	if s, ok := c.values[param].(string); ok {
		return s
	}
	return def
}

// exePath is the path of the program that is executed, nil if it is not known.
func (c *call) exePath() any {
	for _, param := range []string{"filename", "exe"} {
		if s := c.text(param, ""); strings.HasPrefix(s, "/") {
			return s
		}
	}
	return nil
}

func (c *call) comm() string {
	if !c.exec() {
		return c.thread.Comm
	}
	return comm(c.text("trusted_exepath", c.text("filename", c.text("exe", c.thread.Comm))))
}

// transferred is how many bytes were read or written.
func (c *call) transferred() any {
	if b, ok := c.values["data"].([]byte); ok {
		return uint64(len(b))
	}
	return uint64(0)
}

// tuple is the connection to the address that the test gives.
func (c *call) tuple() any {
	n := c.step.params["addr"]
	if n == nil {
		return nil
	}
	if b, err := socktuple(n.Value); err == nil {
		return b
	}
	return nil
}

// syscall is the call that a generic event is about.
func (c *call) syscall() *event.Syscall {
	if c.code != nil {
		return c.code
	}
	return event.SyscallByCode(0)
}
