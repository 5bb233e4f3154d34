package api

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"rollcage/internal/inspect/access"
)

// cookie begins the name of the cookie of a browser that came with the token.
// It holds another secret than the token, as browsers send it to every server on
// this machine.
const cookie = "rollcage_inspect"

// maxLogin bounds what a login sends, in bytes.
const maxLogin = 4096

// guarded lets only visitors who know the token at what the captures hold, and
// sets the headers that keep the pages to themselves.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetHeaders(w.Header())
		if !s.knownHost(r.Host) {
			writeError(w, http.StatusMisdirectedRequest, &problem{Message: "not served under the name " + r.Host})
			return
		}
		isPage := !strings.HasPrefix(r.URL.Path, "/api/")
		if t := r.URL.Query().Get("token"); t != "" && isPage {
			if s.isToken(t) {
				s.admit(w, r)
			}
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, access.WithoutToken(r.URL), http.StatusSeeOther)
			return
		}
		if !isPage && r.URL.Path != "/api/v1/session" && !s.admitted(r) {
			s.refuse(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	writeError(w, http.StatusUnauthorized, &problem{Message: "that is not the token of the link that rollcage inspect printed"})
}

// admit gives a browser the cookie of those who know the token.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: access.CookieName(cookie, r), Value: s.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

func (s *Server) isToken(t string) bool { return same(t, s.opt.Token) }

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Server) admitted(r *http.Request) bool {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.isToken(t)
	}
	c, err := r.Cookie(access.CookieName(cookie, r))
	return err == nil && same(c.Value, s.session)
}

// session says whether the browser is let at the captures.
type session struct {
	Guard    bool `json:"guard"` // always false: this is no guard
	Admitted bool `json:"admitted"`
}

func (s *Server) showSession(q *request) error { return q.reply(session{Admitted: s.admitted(q.r)}) }

// login admits a browser by the token, or the whole link that was printed.
func (s *Server) login(q *request) error {
	var body struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(q.w, q.r.Body, maxLogin)).Decode(&body); err != nil {
		return badRequest("the body: %v", err)
	}
	token := strings.TrimSpace(body.Token)
	if u, err := url.Parse(token); err == nil && u.Query().Has("token") {
		token = u.Query().Get("token")
	}
	if !s.isToken(token) {
		s.refuse(q.w)
		return nil
	}
	s.admit(q.w, q.r)
	return q.reply(session{Admitted: true})
}
