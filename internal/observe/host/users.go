package host

import (
	"cmp"
	"slices"

	"rollcage/internal/observe/event"
)

// maxAccounts bounds the users, and the groups, of the host and all containers.
const maxAccounts = 1 << 18

// idKey is a user or group id of a container, "" for the host.
type idKey struct {
	container string
	id        uint32
}

// rootUser and rootGroup are what id 0 is called where no table says it.
var (
	rootUser  = &event.User{Name: "root", Home: "/root"}
	rootGroup = &event.Group{Name: "root"}
)

// User returns the user with that id in a container ("" for the host), nil if
// it is not known. It is shared and must not be changed.
func (s *State) User(uid uint32, container string) *event.User {
	if u := s.users[idKey{container, uid}]; u != nil || uid != 0 {
		return u
	}
	return rootUser
}

// Group returns the group with that id in a container, like User.
func (s *State) Group(gid uint32, container string) *event.Group {
	if g := s.groups[idKey{container, gid}]; g != nil || gid != 0 {
		return g
	}
	return rootGroup
}

func (s *State) addUser(u event.User) bool {
	k := idKey{u.Container, u.UID}
	if old := s.users[k]; len(s.users) >= maxAccounts && old == nil || old != nil && *old == u {
		return false
	}
	s.users[k] = &u
	return true
}

func (s *State) addGroup(g event.Group) bool {
	k := idKey{g.Container, g.GID}
	if old := s.groups[k]; len(s.groups) >= maxAccounts && old == nil || old != nil && *old == g {
		return false
	}
	s.groups[k] = &g
	return true
}

func (s *State) applyUserAdded(he *Event) {
	uid, ok := he.Uint(0)
	if !ok {
		return
	}
	gid, _ := he.Uint(1)
	u := event.User{UID: uint32(uid), GID: uint32(gid)}
	for i, p := range [...]*string{&u.Name, &u.Home, &u.Shell, &u.Container} {
		s.setString(p, he, 2+i)
	}
	if s.addUser(u) {
		s.touchContainer(u.Container)
	}
}

func (s *State) applyUserDeleted(he *Event) {
	uid, _ := he.Uint(0)
	container, _ := he.Str(5)
	if k := (idKey{container, uint32(uid)}); s.users[k] != nil {
		delete(s.users, k)
		s.touchContainer(container)
	}
}

func (s *State) applyGroupAdded(he *Event) {
	gid, ok := he.Uint(0)
	if !ok {
		return
	}
	g := event.Group{GID: uint32(gid)}
	s.setString(&g.Name, he, 1)
	s.setString(&g.Container, he, 2)
	if s.addGroup(g) {
		s.touchContainer(g.Container)
	}
}

func (s *State) applyGroupDeleted(he *Event) {
	gid, _ := he.Uint(0)
	container, _ := he.Str(2)
	if k := (idKey{container, uint32(gid)}); s.groups[k] != nil {
		delete(s.groups, k)
		s.touchContainer(container)
	}
}

// accounts returns all users and groups, in order of container and id.
func (s *State) accounts() ([]event.User, []event.Group) {
	users, groups := make([]event.User, 0, len(s.users)), make([]event.Group, 0, len(s.groups))
	for _, u := range s.users {
		users = append(users, *u)
	}
	for _, g := range s.groups {
		groups = append(groups, *g)
	}
	slices.SortFunc(users, func(a, b event.User) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.UID, b.UID))
	})
	slices.SortFunc(groups, func(a, b event.Group) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.GID, b.GID))
	})
	return users, groups
}
