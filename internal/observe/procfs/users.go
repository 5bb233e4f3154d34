package procfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// maxUsers bounds the size of a user database that is read, maxName each string in it.
const (
	maxUsers = 4 << 20
	maxName  = 255
)

// ReadUsers reads /etc/passwd and /etc/group below a root directory, "/" for
// the host or /proc/PID/root for a container. Nothing outside of the root is
// read, wherever links in it point. A file that does not exist is no error.
// Reading may take as long as the root's file system likes: call it for a
// container only where waiting is harmless.
func ReadUsers(root string) ([]event.User, []event.Group, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open root directory %s: %w", root, err)
	}
	defer unix.Close(dir)
	passwd, err1 := readRegular(dir, "etc/passwd")
	group, err2 := readRegular(dir, "etc/group")
	if err := errors.Join(err1, err2); err != nil {
		err = fmt.Errorf("users of %s: %w", root, err)
		return parsePasswd(passwd), parseGroup(group), err
	}
	return parsePasswd(passwd), parseGroup(group), nil
}

// readRegular reads a regular file below dir, "" if there is none.
func readRegular(dir int, path string) (string, error) {
	fd, err := openBelow(dir, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxUsers+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > maxUsers {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxUsers)
	}
	return string(b), nil
}

// parsePasswd reads passwd(5): name:password:uid:gid:gecos:home:shell.
// Malformed lines are left out.
func parsePasswd(s string) []event.User {
	var list []event.User
	for l := range strings.SplitSeq(s, "\n") {
		f := strings.Split(l, ":")
		if len(f) != 7 {
			continue
		}
		uid, ok1 := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if ok1 && ok2 && fits(f[0], f[5], f[6]) {
			list = append(list, event.User{UID: uid, GID: gid, Name: f[0], Home: f[5], Shell: f[6]})
		}
	}
	return list
}

// parseGroup reads group(5): name:password:gid:members.
func parseGroup(s string) []event.Group {
	var list []event.Group
	for l := range strings.SplitSeq(s, "\n") {
		f := strings.Split(l, ":")
		if len(f) != 4 {
			continue
		}
		if gid, ok := parseID(f[2]); ok && fits(f[0]) {
			list = append(list, event.Group{GID: gid, Name: f[0]})
		}
	}
	return list
}

func parseID(s string) (uint32, bool) {
	n, rest := decimal([]byte(s))
	return uint32(n), s != "" && len(rest) == 0 && n <= 0xffffffff
}

// fits reports whether an entry is no comment and short enough for a capture.
func fits(name string, more ...string) bool {
	for _, s := range more {
		if len(s) > maxName {
			return false
		}
	}
	return name != "" && name[0] != '#' && len(name) <= maxName
}
