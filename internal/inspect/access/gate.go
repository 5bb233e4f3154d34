package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Gate finds out who asks. Its fields are set before its first use; its
// methods may be called by many goroutines.
type Gate struct {
	// Tokens are the static tokens, nil for none.
	Tokens *Tokens
	// OIDC accepts tokens of an issuer, nil for none.
	OIDC *OIDC
	// Groups are roles of those who come over the unix socket, by name or number of a group.
	Groups map[string]Role
	// Link is a token of an admin that holds as long as the gate, "" for none: the
	// one in the link that is printed at the start.
	Link string

	failures failures
	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session
}

// Why somebody is not let in.
var (
	// ErrNobody says that the request does not say who asks.
	ErrNobody = errors.New("log in: nobody is named")
	// ErrRefused is wrapped by errors about a wrong, expired or revoked token.
	ErrRefused = errors.New("refused")
	// ErrTooMany says that too many wrong tokens came from there lately.
	ErrTooMany = errors.New("too many failed logins; wait a minute")
)

// Cookie begins the name of the cookie that holds a session; see CookieName.
const Cookie = "rollcage_session"

// sessionFor is how long a session lasts at most.
const sessionFor = 12 * time.Hour

// maxSessions bounds the sessions; beyond it the one that ends first goes.
const maxSessions = 4096

// session is a principal in a browser.
type session struct {
	Principal
	ends time.Time
}

// NewSecret returns 256 bits of chance in hexadecimal.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Identify returns who sends a request: by its Authorization header, else its
// session, else the unix socket that it came over. cookie says that the browser
// may have sent the proof without its user wanting it, so that the origin of
// the request must be looked at. The error is ErrNobody, ErrTooMany, or wraps ErrRefused.
func (g *Gate) Identify(r *http.Request) (p *Principal, cookie bool, err error) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, false, errors.Join(ErrRefused, errors.New("only Bearer tokens are taken"))
		}
		p, err := g.Verify(r.Context(), strings.TrimSpace(token), r.RemoteAddr)
		return p, false, err
	}
	if c, err := r.Cookie(CookieName(Cookie, r)); err == nil {
		if p := g.bySession(c.Value); p != nil {
			return p, true, nil
		}
	}
	if p, _ := g.peer(r.Context()); p != nil {
		return p, false, nil
	}
	return nil, false, ErrNobody
}

// Verify returns whose token it is. Wrong ones are counted against the address.
func (g *Gate) Verify(ctx context.Context, token, from string) (*Principal, error) {
	now := time.Now()
	if g.Link != "" && subtle.ConstantTimeCompare([]byte(token), []byte(g.Link)) == 1 {
		return &Principal{Name: "printed link", Role: Admin, Via: viaLink}, nil
	}
	// What is right is let in even while others fail from the same address:
	// nobody guesses 256 bits, and nobody shall be locked out by somebody beside them.
	static := strings.HasPrefix(token, tokenPrefix)
	if g.Tokens != nil && static {
		if k, err := g.Tokens.find(token, now); err != nil {
			return nil, errors.Join(ErrRefused, err)
		} else if k != nil {
			return k.principal(), nil
		}
	}
	if !g.failures.room(from, now) {
		return nil, ErrTooMany
	}
	err := errors.New("the token is wrong, expired or revoked")
	if g.OIDC != nil && !static && strings.Count(token, ".") == 2 {
		var p *Principal
		if p, err = g.OIDC.verify(ctx, token); err == nil {
			return p, nil
		}
	}
	g.failures.add(from, now)
	return nil, errors.Join(ErrRefused, err)
}

// Begin starts a session of a principal and returns the value of its cookie and when it ends.
func (g *Gate) Begin(p *Principal) (value string, ends time.Time) {
	now := time.Now()
	value, ends = NewSecret(), now.Add(sessionFor)
	if !p.Expires.IsZero() && p.Expires.Before(ends) {
		ends = p.Expires
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions == nil {
		g.sessions = map[[sha256.Size]byte]*session{}
	}
	if len(g.sessions) >= maxSessions {
		g.makeRoom(now)
	}
	s := &session{Principal: *p, ends: ends}
	s.Expires = ends
	g.sessions[sha256.Sum256([]byte(value))] = s
	return value, ends
}

// makeRoom forgets sessions that are over, and if none is the one that ends first.
func (g *Gate) makeRoom(now time.Time) {
	var first [sha256.Size]byte
	var at time.Time
	for k, s := range g.sessions {
		if !now.Before(s.ends) {
			delete(g.sessions, k)
		} else if at.IsZero() || s.ends.Before(at) {
			first, at = k, s.ends
		}
	}
	if len(g.sessions) >= maxSessions {
		delete(g.sessions, first)
	}
}

// End ends a session.
func (g *Gate) End(value string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, sha256.Sum256([]byte(value)))
}

// bySession returns whose session it is, nil if it is over or its token was revoked.
func (g *Gate) bySession(value string) *Principal {
	now := time.Now()
	g.mu.Lock()
	s := g.sessions[sha256.Sum256([]byte(value))]
	g.mu.Unlock()
	if s == nil || !now.Before(s.ends) {
		return nil
	}
	p := s.Principal
	if p.token != "" {
		k, err := g.Tokens.byID(p.token, now)
		if k == nil || err != nil {
			return nil
		}
		p.Role = k.Role
	}
	return &p
}
