package host

import "rollcage/internal/observe/event"

// Bits of file_flags.
const (
	flagDirectory  = 1 << 10
	flagCloexec    = 1 << 12
	flagCreated    = 1 << 14
	flagUpperLayer = 1 << 15
	flagLowerLayer = 1 << 16
	flagsFromExit  = ^uint64(flagCreated - 1) // what only the exit event can say
)

// openParams says where the events of a call have what; -1 where they have not.
type openParams struct {
	dirfd, name, flags, dev, ino int8
	// The same for the enter event; its name is that of the exit event otherwise.
	enterDirfd, enterName, enterFlags int8
}

var opens = [...]openParams{
	event.SYSCALL_OPEN_X:              {-1, 1, 2, 4, 5, -1, 0, 1},
	event.SYSCALL_CREAT_X:             {-1, 1, -1, 3, 4, -1, 0, -1},
	event.SYSCALL_OPENAT_2_X:          {1, 2, 3, 5, 6, 0, 1, 2},
	event.SYSCALL_OPENAT2_X:           {1, 2, 3, 6, 7, 0, 1, 2},
	event.SYSCALL_OPEN_BY_HANDLE_AT_X: {-1, 3, 2, 4, 5, -1, -1, -1},
}

// creatLayers is the parameter of creat with the layer of the file: it has no flags.
const creatLayers = 5

// opened is what the events of an open say.
type opened struct {
	dirfd int64
	name  string
	named bool
	flags uint64
}

// applyOpen adds the descriptor of a file.
func (s *State) applyOpen(he *Event) {
	num, ok := he.Int(0)
	if !ok || num < 0 {
		return
	}
	p := &opens[he.Type()]
	o := s.readOpen(he, p)
	fd := s.newFD()
	fd.Type = event.FDFileV2
	if o.flags&flagDirectory != 0 {
		fd.Type = event.FDDirectory
	}
	if dev, ok := he.Uint(int(p.dev)); ok {
		fd.Dev = uint32(dev)
		fd.Ino, _ = he.Uint(int(p.ino))
	}
	fd.OpenFlags = uint32(o.flags)
	fd.UpperLayer, fd.LowerLayer = o.flags&flagUpperLayer != 0, o.flags&flagLowerLayer != 0
	fd.CloseOnExec, fd.Created = o.flags&flagCloexec != 0, o.flags&flagCreated != 0
	if o.named {
		fd.Raw = s.intern(o.name)
		switch {
		case plain(o.name):
			fd.Name = fd.Raw
		case he.Type() == event.SYSCALL_OPEN_BY_HANDLE_AT_X && o.name != "" && o.name[0] != '/':
			fd.Name = fd.Raw // resolved by the kernel, as far as it could
		default:
			fd.Name = s.pathAt(he.Thread, o.dirfd, o.name)
		}
	}
	s.created(he, num, fd)
}

// readOpen collects what the exit event and the enter event, if one is kept,
// say. The enter event wins: a program cannot have changed it under way.
func (s *State) readOpen(he *Event, p *openParams) opened {
	o := opened{dirfd: AtCWD}
	o.name, o.named = knownPath(he.Event, int(p.name))
	if p.dirfd >= 0 {
		if d, ok := he.Int(int(p.dirfd)); ok {
			o.dirfd = d
		}
	}
	if p.flags >= 0 {
		o.flags, _ = he.Uint(int(p.flags))
	} else if layers, ok := he.Uint(creatLayers); ok {
		o.flags = (layers & 3) * flagUpperLayer // the two bits are in the same order
	}
	var enter event.Event
	if p.enterName < 0 || !s.entered(he, &enter) {
		return o
	}
	name, ok := knownPath(&enter, int(p.enterName))
	if !ok {
		return o
	}
	o.name, o.named = name, true
	if p.enterFlags >= 0 {
		if flags, ok := enter.Uint(int(p.enterFlags)); ok {
			o.flags = flags | o.flags&flagsFromExit
		}
	}
	if p.enterDirfd >= 0 {
		if d, ok := enter.Int(int(p.enterDirfd)); ok {
			o.dirfd = d
		}
	}
	return o
}

// intern keeps a string that belongs to the event.
func (s *State) intern(v string) string {
	s.scratch = append(s.scratch[:0], v...)
	return s.strings.get(s.scratch)
}
