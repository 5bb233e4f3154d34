package access

import (
	"context"
	"net"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

type peerKey struct{}

// ConnContext keeps the credentials of the process at the other end of a unix
// socket with its requests. It is for http.Server.ConnContext.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred)
}

// peer returns who is at the other end of a unix socket, nil if that is nobody
// with a role or the connection is no such socket. root and the user that
// Rollcage runs as are admins; others have the highest role of their groups.
func (g *Gate) peer(ctx context.Context) (p *Principal, local bool) {
	cred, ok := ctx.Value(peerKey{}).(*unix.Ucred)
	if !ok {
		return nil, false
	}
	p = &Principal{Name: userName(cred.Uid), Via: viaSocket, uid: cred.Uid, pid: int(cred.Pid)}
	if cred.Uid == 0 || int(cred.Uid) == os.Geteuid() {
		p.Role = Admin
		return p, true
	}
	if len(g.Groups) == 0 {
		return nil, true
	}
	for _, name := range groupNames(cred) {
		p.Role = max(p.Role, g.Groups[name])
	}
	if p.Role == Nobody {
		return nil, true
	}
	return p, true
}

func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return strconv.FormatUint(uint64(uid), 10)
	}
	return u.Username
}

// groupNames returns the names and numbers of the groups of a process's user.
func groupNames(cred *unix.Ucred) (names []string) {
	ids := []string{strconv.FormatUint(uint64(cred.Gid), 10)}
	if u, err := user.LookupId(strconv.FormatUint(uint64(cred.Uid), 10)); err == nil {
		if more, err := u.GroupIds(); err == nil {
			ids = append(ids, more...)
		}
	}
	for _, id := range ids {
		names = append(names, id)
		if g, err := user.LookupGroupId(id); err == nil {
			names = append(names, g.Name)
		}
	}
	return names
}
