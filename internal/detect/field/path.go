package field

import (
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// appendResolvedPath appends the absolute form of path parameter i and
// reports whether the parameter holds a path and its base is known.
func appendResolvedPath(b []byte, e *host.Event, i int) ([]byte, bool) {
	path, ok := e.Str(i)
	if !ok || path == "" || path == notAvailable {
		return b, false
	}
	if path[0] == '/' {
		return host.AppendPath(b, "", path), true
	}
	dir := int64(host.AtCWD)
	if at := e.Info().Params[i].DirFD; at >= 0 {
		if dir, ok = e.Int(at); !ok {
			return b, false
		}
	}
	if e.Thread == nil || dir == host.AtCWD && e.Thread.Leader.Cwd == "" {
		return b, false
	}
	return e.Thread.AppendPathAt(b, dir, path), true
}

// openFD returns a descriptor of the thread, nil if it is not known.
func openFD(t *host.Thread, fd int64) *host.FD {
	if t == nil || t.FDs == nil {
		return nil
	}
	return t.FDs.Get(fd)
}

// pathParams says for a type of event which parameters hold its paths.
type pathParams struct {
	name, source, target string
	// useFD is set where the path is that of the descriptor.
	useFD bool
}

// eventPaths are the paths of the events that work on paths. Links are named
// as the kernel sees them: the source is the new entry, the target what it
// stands for.
var eventPaths = indexPaths(map[event.Type]pathParams{
	event.SYSCALL_OPEN_X:       {name: "name"},
	event.SYSCALL_OPENAT_2_X:   {name: "name"},
	event.SYSCALL_OPENAT2_X:    {name: "name"},
	event.SYSCALL_CREAT_X:      {name: "name"},
	event.SYSCALL_MKDIR_2_X:    {name: "path"},
	event.SYSCALL_MKDIRAT_X:    {name: "path"},
	event.SYSCALL_RMDIR_2_X:    {name: "path"},
	event.SYSCALL_UNLINK_2_X:   {name: "path"},
	event.SYSCALL_UNLINKAT_2_X: {name: "name"},
	event.SYSCALL_CHMOD_X:      {name: "filename"},
	event.SYSCALL_FCHMODAT_X:   {name: "filename"},
	event.SYSCALL_FCHMOD_X:     {useFD: true},
	event.SYSCALL_CHOWN_X:      {name: "path"},
	event.SYSCALL_LCHOWN_X:     {name: "path"},
	event.SYSCALL_FCHOWN_X:     {useFD: true},
	event.SYSCALL_FCHOWNAT_X:   {name: "pathname"},
	event.SYSCALL_QUOTACTL_X:   {name: "special"},
	event.SYSCALL_MKNOD_X:      {name: "path"},
	event.SYSCALL_MKNODAT_X:    {name: "path"},
	event.SYSCALL_NEWFSTATAT_X: {name: "path"},
	event.SYSCALL_UMOUNT_1_X:   {name: "name"},
	event.SYSCALL_UMOUNT2_X:    {name: "name"},
	event.SYSCALL_RENAME_X:     {source: "oldpath", target: "newpath"},
	event.SYSCALL_RENAMEAT_X:   {source: "oldpath", target: "newpath"},
	event.SYSCALL_RENAMEAT2_X:  {source: "oldpath", target: "newpath"},
	event.SYSCALL_LINK_2_X:     {source: "newpath", target: "oldpath"},
	event.SYSCALL_LINKAT_2_X:   {source: "newpath", target: "oldpath"},
	event.SYSCALL_SYMLINK_X:    {source: "linkpath", target: "target"},
	event.SYSCALL_SYMLINKAT_X:  {source: "linkpath", target: "target"},
	event.SYSCALL_MOUNT_X:      {source: "dev", target: "dir"},
})

// What stands in a pathIndex instead of the index of a parameter.
const (
	noPath   = -1
	pathOfFD = -2
)

// pathIndex is pathParams by the index of the parameters.
type pathIndex struct{ name, source, target int8 }

func indexPaths(byType map[event.Type]pathParams) []pathIndex {
	out := make([]pathIndex, event.Count())
	for t := range out {
		p := byType[event.Type(t)]
		index := func(name string) int8 {
			if name == "" {
				return noPath
			}
			return int8(event.Type(t).Info().ParamIndex(name))
		}
		out[t] = pathIndex{index(p.name), index(p.source), index(p.target)}
		if p.useFD {
			out[t].name = pathOfFD
		}
	}
	return out
}

// pathFields are the fields of the paths that an event works on.
var pathFields = []Def{
	{Name: "fs.path.name", Type: str, Doc: "Absolute path that a successful system call worked on.",
		Example: "fs.path.name startswith /etc/", bind: eventPath(nameOf, false)},
	{Name: "fs.path.nameraw", Type: str, Doc: "The same path as the program passed it.",
		Example: "fs.path.nameraw startswith ../", bind: eventPath(nameOf, true)},
	{Name: "fs.path.source", Type: str, Doc: "Absolute source path of a successful system call that takes two: what is renamed or mounted, or the new link.",
		Example: "fs.path.source = /etc/passwd", bind: eventPath(sourceOf, false)},
	{Name: "fs.path.sourceraw", Type: str, Doc: "The same source path as the program passed it.",
		Example: "fs.path.sourceraw = passwd", bind: eventPath(sourceOf, true)},
	{Name: "fs.path.target", Type: str, Doc: "Absolute target path of a successful system call that takes two: the new name, the mount point, or what a link stands for.",
		Example: "fs.path.target startswith /usr/bin/", bind: eventPath(targetOf, false)},
	{Name: "fs.path.targetraw", Type: str, Doc: "The same target path as the program passed it.",
		Example: "fs.path.targetraw = /etc/shadow", bind: eventPath(targetOf, true)},
}

func nameOf(p *pathIndex) int8   { return p.name }
func sourceOf(p *pathIndex) int8 { return p.source }
func targetOf(p *pathIndex) int8 { return p.target }

// eventPath binds a reader of one of the event's paths, as passed or absolute.
func eventPath(which func(*pathIndex) int8, raw bool) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			i := int(which(&eventPaths[e.Type()]))
			if res, ok := e.Result(); !ok || res < 0 || i == noPath {
				return false
			}
			if i == pathOfFD {
				if e.FD == nil {
					return false
				}
				v.Str = e.FD.Name
				return v.Str != ""
			}
			if raw {
				path, ok := e.Str(i)
				v.Str = path
				return ok
			}
			return readAbsolute(e, i, v)
		}
		return nil
	}
}

// readAbsolute stores the absolute form of path parameter i.
func readAbsolute(e *host.Event, i int, v *Value) bool {
	if t := e.Info().Params[i].Type; t != event.TypeFSPath && t != event.TypeFSRelPath {
		// The target of a symbolic link and the device of a mount are text:
		// what they are relative to, if anything, is not the caller's affair.
		path, ok := e.Str(i)
		v.Str = path
		return ok
	}
	b, ok := appendResolvedPath(v.buf[:0], e, i)
	return v.set(b) && ok
}
