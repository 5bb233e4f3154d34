package chisel

import (
	"strings"

	"rollcage/internal/observe/host"
)

var securityChisels = []Chisel{
	{Name: "spy_users", Category: "Security", Short: "Display interactive user activity",
		Doc: "Each command that is started below a shell and each change of directory in one, indented by depth, with the process id of the shell that it all began in.",
		Args: []Arg{
			{Name: "max_depth", Type: Int, Optional: true, Doc: "Levels below the shell that are shown."},
			plain,
		}, New: spyUsers},
	{Name: "list_login_shells", Category: "Security", Short: "List the login shell IDs",
		Doc: "Process ids of the login shells below which commands were started, all or those of certain commands.",
		Args: []Arg{
			{Name: "command", Type: String, Optional: true, Doc: "Text in the name of a command, * for any."},
			{Name: "arguments", Type: String, Optional: true, Doc: "Text in the arguments of the command."},
		}, New: listLoginShells},
	{Name: "shellshock_detect", Category: "Security", Short: "print shellshock attacks",
		Doc: "Each start of bash or sh with a variable that looks like a function, as attacks by CVE-2014-6271 have it.", New: shellshock},
}

// maxAncestry bounds how far up a shell is looked for.
const maxAncestry = 16

// maxProcesses bounds the processes that spy_users remembers.
const maxProcesses = 1 << 16

// place is where a process stands below a shell.
type place struct {
	depth int
	shell int64 // process id of the shell at the top
	none  bool  // there is no shell
}

// shellTree knows where processes stand below shells.
type shellTree map[int64]place

// below returns the place of a process: what is known of it, or what its
// ancestors tell, of which chain yields the first.
func (t shellTree) below(pid int64, first *host.Thread) place {
	if p, ok := t[pid]; ok {
		return p
	}
	p := place{none: true}
	for a, j := first, 0; a != nil && j < maxAncestry; a, j = a.Parent, j+1 {
		if !strings.HasSuffix(a.Comm, "sh") {
			continue
		}
		// The shell farthest up counts.
		if p = (place{shell: a.TID}); t.knows(a.TID) {
			p.depth = j
		}
	}
	t.put(pid, p)
	return p
}

func (t shellTree) knows(pid int64) bool {
	_, ok := t[pid]
	return ok
}

func (t shellTree) put(pid int64, p place) {
	if len(t) >= maxProcesses {
		clear(t)
	}
	t[pid] = p
}

func spyUsers(env *Env, args Values) (*Run, error) {
	s := &userSpy{env: env, args: args, tree: shellTree{}, limit: args.number("max_depth", -1),
		typ: env.read("evt.type"), exe: env.read("proc.exe"), arguments: env.read("proc.args"), path: env.read("evt.arg.path"),
		user: env.read("user.name"), at: env.read("evt.time.s"), container: newContainerNames(env)}
	return &Run{
		Condition: "((evt.type in (execve, execveat) and evt.dir=<) or (evt.type=chdir and evt.dir=< and proc.name contains sh and not proc.name contains sshd)) and evt.failed=false",
		Event:     s.event,
	}, nil
}

// userSpy is a run of spy_users.
type userSpy struct {
	env                                 *Env
	args                                Values
	tree                                shellTree
	limit                               int64 // depth, -1 for none
	typ, exe, arguments, path, user, at *reader
	container                           containerNames
}

func (s *userSpy) event(he *host.Event) error {
	self := he.Process()
	if self == nil {
		return nil
	}
	if s.typ.string(he) == "chdir" {
		// What a shell itself does is one level above what is started in it.
		p := s.tree.below(self.PID, self)
		if p.none {
			return nil
		}
		return s.print(he, p.depth, p.shell, "cd "+s.path.string(he))
	}
	up := s.tree.below(self.PTID, self.Parent)
	if up.none {
		return nil
	}
	if !s.tree.knows(self.PID) {
		s.tree.put(self.PID, place{depth: up.depth + 1, shell: up.shell})
	}
	own := s.tree[self.PID]
	return s.print(he, own.depth-1, own.shell, s.exe.string(he)+" "+s.arguments.string(he))
}

func (s *userSpy) print(he *host.Event, depth int, shell int64, what string) error {
	if s.limit >= 0 && int64(depth) > s.limit {
		return nil
	}
	step, where, color := 3, "", ""
	if strings.HasPrefix(what, "cd ") {
		step = 4
	}
	if s.env.Containers {
		_, name := s.container.of(he)
		step, where = 4, "@"+name
		if s.env.colors(s.args) {
			color = hostColor(name)
		}
	}
	return s.env.line(color, "%s%d %s %s%s) %s", strings.Repeat(" ", max(0, step*depth)), shell, s.at.string(he), s.user.string(he), where, what)
}

func listLoginShells(env *Env, args Values) (*Run, error) {
	shell, exe, arguments, container := env.read("proc.loginshellid"), env.read("evt.arg.exe"), env.read("evt.arg.args"), newContainerNames(env)
	command := args["command"]
	if command == "*" {
		command = ""
	}
	type session struct {
		shell    int64
		name, id string
	}
	var sessions []session
	seen := map[int64]bool{}
	return &Run{
		Condition: "evt.type in (execve, execveat)",
		Event: func(he *host.Event) error {
			sid, ok := shell.number(he)
			if !ok || seen[sid] || len(seen) >= maxProcesses || !strings.Contains(exe.string(he), command) || !strings.Contains(arguments.string(he), args["arguments"]) {
				return nil
			}
			seen[sid] = true
			id, name := container.of(he)
			sessions = append(sessions, session{sid, strings.Clone(name), strings.Clone(id)})
			return nil
		},
		End: func(Moment, *host.State) error {
			title := "All shells:"
			if command != "" {
				title = "Shells containing " + printable(command) + ":"
			}
			if err := env.line("", "%s", title); err != nil {
				return err
			}
			for _, s := range sessions {
				where := ""
				if env.Containers {
					where = " " + s.name + " " + s.id
				}
				if err := env.line("", "%d%s", s.shell, where); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

func shellshock(env *Env, _ Values) (*Run, error) {
	at, parent, ppid := env.read("evt.time"), env.read("proc.pname"), env.read("proc.ppid")
	widths := []int{22, 22, 8, 0}
	return &Run{
		Condition: "evt.type in (execve, execveat) and evt.dir=< and (proc.name=bash or proc.name=sh)",
		Begin:     func() error { return env.cells(widths, "TIME", "PROCNAME", "PID", "FUNCTION") },
		Event: func(he *host.Event) error {
			self := he.Process()
			if self == nil {
				return nil
			}
			for _, variable := range self.Env {
				if function, ok := shellFunction(variable); ok {
					return env.cells(widths, at.string(he), parent.string(he), ppid.string(he), printable(function))
				}
			}
			return nil
		},
	}, nil
}

// shellFunction returns the function in a variable, from its parentheses on.
func shellFunction(variable string) (string, bool) {
	for rest := variable; ; {
		at := strings.Index(rest, "()")
		if at < 0 {
			return "", false
		}
		rest = rest[at:]
		if body := strings.TrimPrefix(rest[2:], " "); len(body) > 1 && body[0] == '{' {
			return rest, true
		}
		rest = rest[2:]
	}
}
