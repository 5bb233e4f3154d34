// Package access says who asks, and what they may do.
//
// A [Gate] finds out who sends a request: by a token from a file of hashes, a
// token of an OpenID Connect issuer, the credentials of the process at the other
// end of a unix socket, or a session that began with one of these in a browser.
// Each gives a [Principal] one [Role]; a role may do all that the ones before it
// may. What cannot be found out for certain is nobody.
package access

import (
	"fmt"
	"math"
	"time"

	"rollcage/internal/respond/evidence"
)

// Role is what somebody may do.
type Role uint8

// The roles, each with the rights of those before it.
const (
	// Nobody may do nothing.
	Nobody Role = iota
	// Viewer sees incidents, alerts and the host, with secrets masked.
	Viewer
	// Responder also opens captures, sees secrets, acts, and writes notes.
	Responder
	// Admin also switches policies and gives out tokens.
	Admin
)

var roleNames = []string{"nobody", "viewer", "responder", "admin"}

// String returns the name of the role.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads the name of a role that can be given to somebody.
func ParseRole(s string) (Role, error) {
	for r := Viewer; r <= Admin; r++ {
		if s == r.String() {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("%q is no role: viewer, responder, admin", s)
}

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Role) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRole(string(b))
	return err
}

// Principal is somebody who was identified.
type Principal struct {
	// Name is that of the token, of the user, or the subject at the issuer.
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Via says how it was found out: token, oidc, socket, link.
	Via string `json:"via"`
	// Expires is when this ends by itself; never if zero.
	Expires time.Time `json:"expires,omitzero"`

	token string // ID of the static token
	uid   uint32
	pid   int
}

// unknownID stands for a user that is not known, as in the kernel.
const unknownID = math.MaxUint32

// May reports whether somebody, nil for nobody, has at least that role.
func (p *Principal) May(r Role) bool { return p != nil && p.Role >= r }

// Who returns how the audit log names the principal. The user id is known only
// of who came over the socket, else it is 4294967295.
func (p *Principal) Who() *evidence.Who {
	if p == nil {
		return &evidence.Who{User: "nobody", UID: unknownID, LoginUID: unknownID, Via: "API"}
	}
	w := &evidence.Who{User: p.Name, UID: unknownID, LoginUID: unknownID, PID: p.pid, Via: "API, " + p.Via + ", " + p.Role.String()}
	if p.Via == viaSocket {
		w.UID = p.uid
	}
	return w
}

// How principals are found out.
const (
	viaToken  = "token"
	viaOIDC   = "oidc"
	viaSocket = "socket"
	viaLink   = "link"
)
