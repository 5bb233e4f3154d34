package runtime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

const (
	usersWait  = 30 * time.Millisecond // how long a container's first program waits for the names of its users
	usersTries = 8                     // programs of a container whose root directory is looked at
	maxUsers   = 4096                  // users, and groups, of a container that are told: an image may name a million
)

// accounts are the users and groups of a container.
type accounts struct {
	id     string
	users  []event.User
	groups []event.Group
	err    error // errHostRoot, or why the root directory could not be read
}

var errHostRoot = fmt.Errorf("the root directory is still the host's")

// accountReader reads the user databases of containers from their own root
// directories. Such a directory may be on a file system that does not answer,
// so it is read in the background, and waited for a moment only.
type accountReader struct {
	results chan accounts
	tries   map[string]int // by container id; usersTries when there is no more to try
	read    func(id string, pid int64) accounts
}

func newAccountReader() *accountReader {
	return &accountReader{results: make(chan accounts, 64), tries: map[string]int{}, read: readAccounts}
}

// settled reports whether nothing more is to be tried for the container.
func (r *accountReader) settled(id string) bool { return r.tries[id] >= usersTries }

// ask reads the accounts of the container that the process pid runs in, and
// returns what was read of any container up to a moment later.
func (r *accountReader) ask(id string, pid int64) []accounts {
	if r.settled(id) {
		return nil
	}
	if len(r.tries) >= maxKnown {
		clear(r.tries)
	}
	r.tries[id]++
	go func() { r.results <- r.read(id, pid) }()
	timeout := time.NewTimer(usersWait)
	defer timeout.Stop()
	var out []accounts
	for {
		select {
		case a := <-r.results:
			out = append(out, r.note(a))
			if a.id == id {
				return append(out, r.ready()...)
			}
		case <-timeout.C:
			return out
		}
	}
}

// ready returns what was read since the last call.
func (r *accountReader) ready() []accounts {
	var out []accounts
	for {
		select {
		case a := <-r.results:
			out = append(out, r.note(a))
		default:
			return out
		}
	}
}

func (r *accountReader) note(a accounts) accounts {
	if a.err == nil {
		r.tries[a.id] = usersTries
	}
	return a
}

// readAccounts reads the accounts from the root directory of a process. A
// container's first processes still have the host's, until the runtime has changed it.
func readAccounts(id string, pid int64) accounts {
	root := fmt.Sprintf("/proc/%d/root", pid)
	a := accounts{id: id}
	var own, host unix.Stat_t
	if a.err = unix.Stat(root, &own); a.err != nil {
		return a
	}
	for _, of := range []string{"/proc/1/root", "/proc/self/root"} {
		if unix.Stat(of, &host) == nil && own.Dev == host.Dev && own.Ino == host.Ino {
			a.err = errHostRoot
			return a
		}
	}
	a.users, a.groups, a.err = procfs.ReadUsers(root)
	return a
}

// appendEvents appends the events that tell the accounts, at the time ts.
func (a *accounts) appendEvents(events [][]byte, ts uint64) [][]byte {
	for _, u := range a.users[:min(len(a.users), maxUsers)] {
		b, err := event.Append(nil, ts, -1, event.USER_ADDED_E, u.UID, u.GID, u.Name, u.Home, u.Shell, a.id)
		if err == nil {
			events = append(events, b)
		}
	}
	for _, g := range a.groups[:min(len(a.groups), maxUsers)] {
		b, err := event.Append(nil, ts, -1, event.GROUP_ADDED_E, g.GID, g.Name, a.id)
		if err == nil {
			events = append(events, b)
		}
	}
	return events
}
