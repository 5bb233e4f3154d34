package field

import (
	"math"
	"sync/atomic"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// userFields are the fields of the user of the event's thread.
var userFields = []Def{
	{Name: "user.uid", Type: u32, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the user.",
		Example: "user.uid = 0", bind: threadNumber(threadOf, func(t *host.Thread) (uint64, bool) { return uint64(t.UID), true })},
	{Name: "user.name", Type: str, Scope: ScopeProcess, Doc: "Name of the user, in a container by the container's own user database.",
		Example: "user.name = root", bind: threadUser(uid, nameOfUser)},
	{Name: "user.homedir", Type: str, Scope: ScopeProcess, Doc: "Home directory of the user.",
		Example: "user.homedir = /root", bind: threadUser(uid, func(u *event.User) string { return u.Home })},
	{Name: "user.shell", Type: str, Scope: ScopeProcess, Doc: "Login shell of the user.",
		Example: "user.shell endswith nologin", bind: threadUser(uid, func(u *event.User) string { return u.Shell })},
	{Name: "user.loginuid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the user who logged in (audit uid), -1 if nobody did.",
		Example: "user.loginuid != -1", bind: threadNumber(threadOf, loginUID)},
	{Name: "user.loginname", Type: str, Scope: ScopeProcess, Doc: "Name of the user who logged in.",
		Example: "user.loginname = admin", bind: threadUser(func(t *host.Thread) uint32 { return t.LoginUID }, nameOfUser)},
}

// groupFields are the fields of the group of the event's thread.
var groupFields = []Def{
	{Name: "group.gid", Type: u32, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the group.",
		Example: "group.gid = 0", bind: threadNumber(threadOf, func(t *host.Thread) (uint64, bool) { return uint64(t.GID), true })},
	{Name: "group.name", Type: str, Scope: ScopeProcess, Doc: "Name of the group, in a container by the container's own group database.",
		Example: "group.name = docker", bind: text(threadGroup)},
}

// utilFields are the fields that are about no event.
var utilFields = []Def{
	{Name: "util.cnt", Type: u64, Doc: "Counter that grows by one each time it is read.",
		Example: "util.cnt > 100", bind: counter},
}

// superuser stands for user and group 0 where no database says more.
const superuser = "root"

var rootUser = event.User{Name: superuser, Home: "/root", Shell: notAvailable}
var unknownUser = event.User{Name: notAvailable, Home: notAvailable, Shell: notAvailable}

func uid(t *host.Thread) uint32 { return t.UID }

func nameOfUser(u *event.User) string { return u.Name }

func loginUID(t *host.Thread) (int64, bool) {
	if t.LoginUID == math.MaxUint32 {
		return -1, true
	}
	return int64(t.LoginUID), true
}

// threadUser binds what the user database says of one of the thread's users.
func threadUser(which func(t *host.Thread) uint32, read func(u *event.User) string) binder {
	return text(func(e *host.Event) (string, bool) {
		if e.Thread == nil {
			return "", false
		}
		id := which(e.Thread)
		u := userByID(e, id)
		switch {
		case u != nil:
		case id == 0:
			u = &rootUser
		default:
			u = &unknownUser
		}
		return read(u), true
	})
}

func threadGroup(e *host.Event) (string, bool) {
	if e.Thread == nil {
		return "", false
	}
	if name := groupName(e, e.Thread.GID); name != "" {
		return name, true
	}
	if e.Thread.GID == 0 {
		return superuser, true
	}
	return notAvailable, true
}

func counter(f *Field) error {
	var n atomic.Uint64
	return always(func(*host.Event) uint64 { return n.Add(1) })(f)
}
