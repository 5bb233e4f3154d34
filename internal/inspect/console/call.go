package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcage/internal/inspect/access"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/mask"
)

// problem is an error with its status.
type problem struct {
	status  int
	message string
}

func (p *problem) Error() string { return p.message }

func fail(status int, format string, args ...any) error {
	return &problem{status, fmt.Sprintf(format, args...)}
}

func writeProblem(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": message}})
}

// call is a request whose sender is known.
type call struct {
	s   *Server
	w   http.ResponseWriter
	r   *http.Request
	who *access.Principal
}

// header is what a browser sends only if a page of ours says so: together with
// the origin it shows that a request that changes something was meant.
const header = "X-Rollcage"

// serve finds out who asks and whether they may, and answers.
func (s *Server) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r}
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			s.opt.Log.Error("a request could not be answered", "url", r.URL.Path, "panic", v)
			writeProblem(w, http.StatusInternalServerError, "this could not be answered; the log tells why")
		}
	}()
	if err := c.admit(rt); err != nil {
		c.fail(err)
		return
	}
	if err := rt.handle(c); err != nil && r.Context().Err() == nil {
		c.fail(err)
	}
}

// admit lets through who may do this.
func (c *call) admit(rt *route) error {
	who, cookie, err := c.s.opt.Gate.Identify(c.r)
	c.who = who
	if rt.role == access.Nobody {
		// Logging in is guarded too: a foreign page must not log its reader in as somebody else.
		return c.meant(true)
	}
	switch {
	case errors.Is(err, access.ErrTooMany):
		return fail(http.StatusTooManyRequests, "%v", err)
	case errors.Is(err, access.ErrNobody):
		return fail(http.StatusUnauthorized, "%v", err)
	case err != nil:
		c.s.note("login failed", nil, c.r.RemoteAddr+": "+plain(err))
		return fail(http.StatusUnauthorized, "the token is wrong, expired or revoked, or has no role here")
	}
	if err := c.meant(cookie); err != nil {
		return err
	}
	return c.need(rt.role)
}

// meant refuses a change that the browser may have sent without its user wanting it.
func (c *call) meant(cookie bool) error {
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead || !cookie {
		return nil
	}
	if c.s.origin.Check(c.r) != nil || c.r.Header.Get(header) == "" {
		c.refused("it came from another site's page, or lacks the header " + header)
		return fail(http.StatusForbidden, "a change in a session needs the header %s: 1 and must come from these pages", header)
	}
	return nil
}

// need refuses who has not that role, which is then in the audit log.
func (c *call) need(role access.Role) error {
	if c.who.May(role) {
		return nil
	}
	c.refused(fmt.Sprintf("needs %s, has %s", role, c.who.Role))
	return fail(http.StatusForbidden, "that needs the role %s; you are %s", role, c.who.Role)
}

func (c *call) refused(why string) {
	detail := c.r.Method + " " + c.r.URL.Path + ": " + why
	if err := c.s.audit.Access(c.who.Who(), "refused", c.r.PathValue("incident"), plain(errors.New(detail))); err != nil {
		c.s.opt.Log.Error("a refused act is not in the audit log", "act", detail, "error", err)
	}
}

// record writes into the audit log what is about to be shown or done. Nothing is, if that fails.
func (c *call) record(act, incident, detail string) error {
	if err := c.s.audit.Access(c.who.Who(), act, incident, detail); err != nil {
		c.s.opt.Log.Error("refused, as it cannot be written down", "act", act, "error", err)
		return fail(http.StatusServiceUnavailable, "this is not done, as the audit log cannot be written")
	}
	return nil
}

// recordOnce is record, but not again within the hour for the same person and thing.
func (c *call) recordOnce(act, incident, detail string) error {
	key := strings.Join([]string{c.who.Via, c.who.Name, act, incident, detail}, "\x00")
	if c.s.noted.has(key, time.Now()) {
		return nil
	}
	if err := c.record(act, incident, detail); err != nil {
		return err
	}
	c.s.noted.put(key, time.Now())
	return nil
}

// reveal reports whether secrets are to be shown: it is asked for, the role may
// see them, and it is in the audit log.
func (c *call) reveal() (bool, error) {
	if ok, _ := strconv.ParseBool(c.r.URL.Query().Get("reveal")); !ok {
		return false, nil
	}
	if err := c.need(access.Responder); err != nil {
		return false, err
	}
	return true, c.recordOnce("reveal", c.r.PathValue("incident"), c.r.URL.Path)
}

// statusOf returns the status for an error of guard.
func statusOf(err error) int {
	switch {
	case errors.Is(err, guard.ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, guard.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, action.ErrProtected):
		return http.StatusConflict
	case errors.Is(err, action.ErrGone):
		return http.StatusGone
	}
	return http.StatusInternalServerError
}

func (c *call) fail(err error) {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{statusOf(err), err.Error()}
	}
	if p.status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.status == http.StatusTooManyRequests {
		c.w.Header().Set("Retry-After", "60")
	}
	message := mask.String(p.message)
	writeProblem(c.w, p.status, plain(errors.New(message)))
}

// plain makes an error fit for one line.
func plain(err error) string {
	return string(event.AppendPrintable(nil, strings.ReplaceAll(err.Error(), "\n", "; ")))
}

// reply answers with a value, masked unless secrets are to be shown.
func (c *call) reply(v any, reveal bool) error {
	b, err := json.Marshal(v)
	if err == nil && !reveal {
		b, err = mask.JSON(b)
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "no-store")
	_, err = c.w.Write(append(b, '\n'))
	return err
}

// body reads the request into out. Keys that are not known are mistakes.
func (c *call) body(out any) error {
	b, err := io.ReadAll(c.r.Body)
	if err != nil {
		return fail(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", maxBody)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return fail(http.StatusBadRequest, "the body: %v", err)
	}
	return nil
}

// noted remembers what was written down already, for an hour.
type noted struct {
	mu sync.Mutex
	at map[string]time.Time
}

const (
	notedFor = time.Hour
	maxNoted = 10_000
)

func (n *noted) has(key string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.at[key]
	return ok && now.Sub(at) < notedFor
}

func (n *noted) put(key string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at == nil || len(n.at) >= maxNoted {
		n.at = map[string]time.Time{}
	}
	n.at[key] = now
}
