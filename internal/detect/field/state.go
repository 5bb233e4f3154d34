package field

import (
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The functions below ask the state around the event; all of them do with none.

// hostname returns the name of the host that the event is from.
func hostname(e *host.Event) (string, bool) {
	if e.State == nil {
		return hostnameOverride, hostnameOverride != ""
	}
	if hostnameOverride != "" && e.State.Live() {
		return hostnameOverride, true
	}
	name := e.State.Machine().Hostname
	return name, name != ""
}

// threadByID returns a thread by its id on the host, nil if it is not known.
func threadByID(e *host.Event, tid int64) *host.Thread {
	if e.State == nil || tid <= 0 {
		return nil
	}
	return e.State.Thread(tid)
}

// userByID returns a user of the container of the event's thread, nil if not known.
func userByID(e *host.Event, uid uint32) *event.User {
	if e.State == nil || e.Thread == nil {
		return nil
	}
	return e.State.User(uid, e.Thread.ContainerID())
}

// userName returns the name of such a user, "" if not known.
func userName(e *host.Event, uid uint32) string {
	if u := userByID(e, uid); u != nil {
		return u.Name
	}
	return ""
}

// groupName returns the name of a group of the container of the event's thread, "" if not known.
func groupName(e *host.Event, gid uint32) string {
	if e.State == nil || e.Thread == nil {
		return ""
	}
	if g := e.State.Group(gid, e.Thread.ContainerID()); g != nil {
		return g.Name
	}
	return ""
}
