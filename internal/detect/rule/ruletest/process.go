package ruletest

import (
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/observe/event"
)

// Capabilities of root on the host and in a container as Docker starts it.
const (
	hostCaps      = 1<<41 - 1
	containerCaps = 0xa80425fb
)

// newProcess returns a process of root about which nothing else is known.
func newProcess(n *yaml.Node) *process {
	info := event.NewThreadInfo()
	info.Cwd, info.Root, info.FDLimit, info.StartTime = "/", "/", 1024, startTime-60e9
	return &process{info: info, node: n}
}

func (p *parser) processes(s *scene) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.items(n, "processes", func(n *yaml.Node) { s.processes = append(s.processes, p.process(s, n)) })
	}
}

// process reads a process.
func (p *parser) process(s *scene, n *yaml.Node) *process {
	d := newProcess(n)
	t := d.info
	caps := func(n *yaml.Node) {
		number(p, &t.CapEffective)(n)
		t.CapPermitted, d.caps = t.CapEffective, true
	}
	p.mapping(n, "a process", keys{
		"pid": number(p, &t.TID), "parent": number(p, &t.PTID), "name": p.text(&t.Comm),
		"exe": p.text(&t.Exe), "exepath": p.text(&t.ExePath), "args": p.texts(&t.Args), "env": p.environment(&t.Env),
		"cwd": p.text(&t.Cwd), "root": p.text(&t.Root), "container": p.text(&d.container), "vpid": number(p, &d.vpid),
		"session": number(p, &t.SID), "pgid": number(p, &t.PGID), "vpgid": number(p, &t.VPGID), "tty": number(p, &t.TTY),
		"user": p.user(s, &t.UID), "loginuser": p.user(s, &t.LoginUID), "gid": number(p, &t.GID), "caps": caps,
		"exe_ino": number(p, &t.ExeIno), "writable": p.boolean(&t.ExeWritable), "upper_layer": p.boolean(&t.ExeUpperLayer),
		"lower_layer": p.boolean(&t.ExeLowerLayer), "memfd": p.boolean(&t.ExeFromMemfd), "fds": p.descriptors(&t.FDs),
	})
	if t.TID <= 0 {
		p.fail(n, "a process needs a pid above 0")
	}
	return d
}

// environment reads the variables as a mapping, or as a list of NAME=value.
func (p *parser) environment(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			p.texts(to)(n)
			return
		}
		p.each(n, "env", func(k, v *yaml.Node) {
			s, _ := p.scalar(v)
			*to = append(*to, k.Value+"="+s)
		})
	}
}

// user reads a user by name or number.
func (p *parser) user(s *scene, to *uint32) func(*yaml.Node) {
	return func(n *yaml.Node) {
		word, _ := p.scalar(n)
		for _, u := range s.users {
			if u.Name == word {
				*to = u.UID
				return
			}
		}
		id, err := strconv.ParseUint(word, 10, 32)
		switch {
		case word == "root":
			*to = 0
		case err != nil:
			p.fail(n, "there is no user %q; write its number, or put it under users above", word)
		default:
			*to = uint32(id)
		}
	}
}

// descriptors reads open descriptors: numbers and what they stand for.
func (p *parser) descriptors(to *[]event.FDInfo) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.each(n, "fds", func(k, v *yaml.Node) {
			num, err := strconv.ParseInt(k.Value, 10, 32)
			word, ok := p.scalar(v)
			if err != nil || num < 0 {
				p.fail(k, "%q is not the number of a descriptor", k.Value)
				return
			}
			if !ok {
				return
			}
			fd, err := descriptor(word)
			if err != nil {
				p.fail(v, "%v", err)
			}
			fd.Num = num
			*to = append(*to, fd)
		})
	}
}

// complete fills what follows from the rest of a process: its names from its
// executable, its place from its container, its rights from its user.
func (d *process) complete(p *parser, s *scene, byPID map[int64]*process, vpids map[string]int64) {
	t := d.info
	t.PID, t.VTID, t.VPID = t.TID, t.TID, t.TID
	if t.PTID == 0 && t.TID != 1 {
		t.PTID = 1
	}
	if t.PTID != 0 && byPID[t.PTID] == nil {
		p.fail(d.node, "process %d has the parent %d, which is not there", t.TID, t.PTID)
	}
	if t.ExePath == "" && strings.HasPrefix(t.Exe, "/") {
		t.ExePath = t.Exe
	}
	if t.Exe == "" {
		t.Exe = t.ExePath
	}
	if t.Comm == "" {
		t.Comm = comm(t.Exe)
	}
	for _, id := range []*int64{&t.SID, &t.PGID} {
		if *id == -1 {
			*id = t.TID
		}
	}
	if d.container != "" {
		d.enter(p, s, vpids)
	}
	if t.VPGID == -1 {
		t.VPGID = t.VPID
	}
	if t.UID == 0 && !d.caps {
		t.CapPermitted, t.CapEffective = hostCaps, hostCaps
		if c := s.containers[d.container]; c != nil && !c.Privileged {
			t.CapPermitted, t.CapEffective = containerCaps, containerCaps
		}
	}
}

// enter puts a process into its container. There it has its own number: 1 for
// the first.
func (d *process) enter(p *parser, s *scene, vpids map[string]int64) {
	const inPidns = 1 << 29 // of clone_flags: the process is in another pid namespace
	c := s.containers[d.container]
	if c == nil {
		p.fail(d.node, "process %d is in the container %q, which is not there%s", d.info.TID, d.container, hint(d.container, s.containers))
		return
	}
	vpids[d.container]++
	d.info.Cgroups = []string{cgroup(c)}
	d.info.VPID = vpids[d.container]
	if d.vpid != 0 {
		d.info.VPID = d.vpid
	}
	d.info.VTID = d.info.VPID
	d.info.Flags |= inPidns
}

// comm returns the name that the kernel gives a process for its executable.
func comm(exe string) string {
	if exe == "" {
		return ""
	}
	name := path.Base(exe)
	return name[:min(len(name), 15)]
}
