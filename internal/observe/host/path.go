package host

import (
	"strings"

	"rollcage/internal/observe/event"
)

// AtCWD is the descriptor number that stands for the working directory.
const AtCWD = -100

// unknownDir stands for a directory of which only the descriptor is known.
const unknownDir = "<UNKNOWN>"

// AppendPath appends path as seen from the directory base, without ".", "..",
// doubled and trailing slashes. An absolute path ignores base. Symbolic links
// are not followed. dst must not share memory with base or path.
func AppendPath(dst []byte, base, path string) []byte {
	start := len(dst)
	if !strings.HasPrefix(path, "/") {
		dst = appendComponents(dst, start, base)
	}
	return appendComponents(dst, start, path)
}

// appendComponents adds the components of path one by one to the clean path
// that begins at start.
func appendComponents(dst []byte, start int, path string) []byte {
	if len(dst) == start && strings.HasPrefix(path, "/") {
		dst = append(dst, '/')
	}
	for len(path) > 0 {
		var c string
		c, path, _ = strings.Cut(path, "/")
		switch c {
		case "", ".":
		case "..":
			dst = dropComponent(dst, start)
		default:
			if n := len(dst); n > start && dst[n-1] != '/' {
				dst = append(dst, '/')
			}
			dst = append(dst, c...)
		}
	}
	return dst
}

// dropComponent removes the last component; the root has none.
func dropComponent(dst []byte, start int) []byte {
	for i := len(dst) - 1; i >= start; i-- {
		if dst[i] == '/' {
			return dst[:max(i, start+1)]
		}
	}
	return dst[:start]
}

// AppendPathAt appends the name that path has when it is looked up from the
// descriptor dirfd of the thread ([AtCWD] for its working directory). When
// nothing is known of dirfd, the result begins with <UNKNOWN>.
func (t *Thread) AppendPathAt(dst []byte, dirfd int64, path string) []byte {
	base := ""
	switch {
	case strings.HasPrefix(path, "/"):
	case dirfd == AtCWD:
		base = t.Leader.Cwd
	default:
		if fd := t.FDs.Get(dirfd); fd != nil {
			base = fd.Name
		} else {
			base = unknownDir
		}
	}
	return AppendPath(dst, base, path)
}

// pathAt is AppendPathAt with the control characters made harmless, kept.
func (s *State) pathAt(t *Thread, dirfd int64, path string) string {
	s.scratch = t.AppendPathAt(s.scratch[:0], dirfd, path)
	return s.printable(s.scratch)
}

// plain reports whether a path is absolute and already as pathAt returns it.
// It answers false for some that are, but not for those that are usual.
func plain(path string) bool {
	if len(path) < 2 || path[0] != '/' || path[len(path)-1] == '/' {
		return false
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c < 0x20 || c >= 0x7f:
			return false
		case (c == '/' || c == '.') && i > 0 && path[i-1] == '/':
			return false
		}
	}
	return true
}

// printable keeps a name as it is stored for descriptors: without control characters.
func (s *State) printable(b []byte) string {
	s.clean = event.AppendPrintable(s.clean[:0], event.String(b))
	return s.strings.get(s.clean)
}
