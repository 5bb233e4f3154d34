package console

import (
	"errors"
	"net/http"
	"time"

	"rollcage/internal/inspect/access"
)

// sessionInfo says who asks.
type sessionInfo struct {
	Guard   bool      `json:"guard"` // this is guard, not only captures
	Name    string    `json:"name,omitempty"`
	Role    string    `json:"role,omitempty"` // none if nobody is logged in
	Via     string    `json:"via,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

func describe(p *access.Principal) sessionInfo {
	if p == nil {
		return sessionInfo{Guard: true}
	}
	return sessionInfo{true, p.Name, p.Role.String(), p.Via, p.Expires}
}

// done says that something is done.
type done struct {
	OK bool `json:"ok"`
}

func showSession(c *call) error { return c.reply(describe(c.who), true) }

type loginBody struct {
	Token string `json:"token"`
}

func login(c *call) error {
	var b loginBody
	if err := c.body(&b); err != nil {
		return err
	}
	p, err := c.s.opt.Gate.Verify(c.r.Context(), b.Token, c.r.RemoteAddr)
	if errors.Is(err, access.ErrTooMany) {
		return fail(http.StatusTooManyRequests, "%v", err)
	}
	if err != nil {
		c.s.note("login failed", nil, c.r.RemoteAddr+": "+plain(err))
		return fail(http.StatusUnauthorized, "the token is wrong, expired or revoked, or has no role here")
	}
	c.s.begin(c.w, c.r, p)
	return c.reply(describe(p), true)
}

func logout(c *call) error {
	if k, err := c.r.Cookie(access.CookieName(access.Cookie, c.r)); err == nil {
		c.s.opt.Gate.End(k.Value)
	}
	http.SetCookie(c.w, &http.Cookie{Name: access.CookieName(access.Cookie, c.r), Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.r.TLS != nil})
	return c.reply(done{true}, true)
}
