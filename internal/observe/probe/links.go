package probe

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// maxLinks bounds how many ways are remembered; then all are forgotten.
const maxLinks = 8192

// links knows which names are another way to a file than its own path: by
// symbolic links, by dots, by /proc/self. Such a name is what its event keeps. A name
// that does not lead to what the call has opened was written after the kernel had read another one.
type links struct {
	known map[way]bool
}

type way struct{ name, file string }

// lead reports whether the name that the event has leads to the file. A way that was found once is believed for
// ever: who can make a link needs no race to give a file another name.
func (l *links) lead(ev *event.Event, name, file string) bool {
	w := way{name, file}
	if l.known[w] {
		return true
	}
	if !leads(ev, name, file) {
		return false
	}
	if l.known == nil || len(l.known) >= maxLinks {
		l.known = map[way]bool{}
	}
	l.known[w] = true
	return true
}

func leads(ev *event.Event, name, file string) bool {
	proc := "/proc/" + strconv.FormatInt(ev.TID(), 10)
	if isNameless(ev, name, file) || leadsToSelf(proc, name, file) {
		return true
	}
	at := name
	if !path.IsAbs(name) {
		dir, err := os.Readlink(proc + "/" + baseOf(ev))
		if err != nil {
			return false
		}
		if at = dir + "/" + name; path.Clean(at) == file {
			return true
		}
	} else if path.Clean(name) == file {
		return true
	}
	if found, err := follow(proc+"/root", at); err == nil {
		return found == file || throughOurselves(proc, found, file)
	}
	// The process is gone. If the name means that file for us, it meant it for a process of the host.
	found, err := follow("/", at)
	return err == nil && (found == file || throughOurselves(proc, found, file))
}

// throughOurselves reports whether what we have found is ours of what the process has in /proc, as a link went through /proc/self.
func throughOurselves(proc, found, file string) bool {
	rest, ok := strings.CutPrefix(found, "/proc/"+strconv.Itoa(os.Getpid()))
	return ok && leadsToSelf(proc, "/proc/self"+rest, file)
}

// baseOf returns what a relative name is relative to, within the folder of the process in /proc.
func baseOf(ev *event.Event) string {
	if t := ev.Type(); t == event.SYSCALL_OPENAT_2_X || t == event.SYSCALL_OPENAT2_X {
		if fd, ok := ev.Int(1); ok && fd >= 0 {
			return "fd/" + strconv.FormatInt(fd, 10)
		}
	}
	return "cwd"
}

// follow returns where a name leads in a root, links followed.
func follow(root, name string) (string, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

// isNameless reports whether the call has made a file without a name in the directory (O_TMPFILE): the kernel
// names it #INODE.
func isNameless(ev *event.Event, name, file string) bool {
	ino, ok := ev.Uint(ev.NumParams() - 1)
	return ok && path.Base(file) == "#"+strconv.FormatUint(ino, 10)
}

// leadsToSelf follows what /proc shows of the process that looks.
func leadsToSelf(proc, name, file string) bool {
	name = path.Clean(name)
	for link, target := range map[string]string{"/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2"} {
		if name == link {
			name = "/proc/self/" + target
		}
	}
	if fd, ok := strings.CutPrefix(name, "/dev/fd/"); ok {
		name = "/proc/self/fd/" + fd
	}
	rest, ok := strings.CutPrefix(name, "/proc/self")
	if !ok {
		rest, ok = strings.CutPrefix(name, "/proc/thread-self")
	}
	if !ok || rest != "" && rest[0] != '/' {
		return false
	}
	if target, err := os.Readlink(proc + rest); err == nil && strings.TrimSuffix(target, " (deleted)") == file {
		return true
	}
	// The number that the process has where it looks is its own, its main thread's or one of its namespace.
	in, ok := strings.CutPrefix(file, "/proc/")
	if !ok {
		return false
	}
	pid, tail, _ := strings.Cut(in, "/")
	if task, ok := strings.CutPrefix(tail, "task/"); ok && strings.HasPrefix(name, "/proc/thread-self") {
		_, tail, _ = strings.Cut(task, "/")
	}
	return strings.TrimPrefix(rest, "/") == tail && isNumberOf(proc, pid)
}

// isNumberOf reports whether a process has that id in some pid namespace.
func isNumberOf(proc, pid string) bool {
	if proc == "/proc/"+pid {
		return true
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if numbers, ok := strings.CutPrefix(line, "NStgid:"); ok {
			for _, n := range strings.Fields(numbers) {
				if n == pid {
					return true
				}
			}
		}
	}
	return false
}
