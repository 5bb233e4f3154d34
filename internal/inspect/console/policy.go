package console

import (
	"errors"
	"net/http"
	"time"

	"rollcage/internal/inspect/access"
	"rollcage/internal/respond/policy"
)

type policyInfo struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Enabled     bool     `json:"enabled"`
	Mode        string   `json:"mode"` // monitor, enforce
	Actions     []string `json:"actions"`
}

func listPolicies(c *call) error {
	out := []policyInfo{}
	for _, p := range c.s.opt.Guard.Policies().Policies {
		i := policyInfo{p.Name, p.Description, p.Enabled, p.Mode().String(), []string{}}
		for _, a := range p.Actions {
			i.Actions = append(i.Actions, a.String())
		}
		out = append(out, i)
	}
	return c.reply(out, false)
}

type modeBody struct {
	Mode string `json:"mode"` // monitor, enforce
}

func setMode(c *call) error {
	var b modeBody
	if err := c.body(&b); err != nil {
		return err
	}
	m, ok := policy.ParseMode(b.Mode)
	if !ok {
		return fail(http.StatusBadRequest, "%q is no mode: monitor, enforce", b.Mode)
	}
	name := c.r.PathValue("policy")
	if c.s.opt.Guard.Policies().Find(name) == nil {
		return fail(http.StatusNotFound, "there is no policy %q", name)
	}
	if err := c.s.opt.Guard.SetMode(c.who.Who(), name, m); err != nil {
		return err
	}
	return c.reply(done{true}, true)
}

// tokenInfo is a token as it is listed.
type tokenInfo struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires,omitzero"`
	Expired bool        `json:"expired,omitempty"`
	By      string      `json:"by,omitempty"`
}

func infoOf(t *access.Token) tokenInfo {
	return tokenInfo{t.ID, t.Name, t.Role, t.Created, t.Expires, t.Expired(time.Now()), t.By}
}

func (c *call) tokens() (*access.Tokens, error) {
	if c.s.opt.Gate.Tokens == nil {
		return nil, fail(http.StatusNotFound, "there is no file of tokens here")
	}
	return c.s.opt.Gate.Tokens, nil
}

func listTokens(c *call) error {
	t, err := c.tokens()
	if err != nil {
		return err
	}
	list, err := t.List()
	if err != nil {
		return err
	}
	out := []tokenInfo{}
	for i := range list {
		out = append(out, infoOf(&list[i]))
	}
	return c.reply(out, true)
}

type tokenBody struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Expires string `json:"expires,omitempty"` // a duration from now, as 720h
}

type madeToken struct {
	tokenInfo
	Secret string `json:"secret"`
}

func createToken(c *call) error {
	var b tokenBody
	if err := c.body(&b); err != nil {
		return err
	}
	t, err := c.tokens()
	if err != nil {
		return err
	}
	role, err := access.ParseRole(b.Role)
	if err != nil {
		return fail(http.StatusBadRequest, "%v", err)
	}
	var expires time.Time
	if b.Expires != "" {
		d, err := time.ParseDuration(b.Expires)
		if err != nil {
			return fail(http.StatusBadRequest, "expires %q is no duration, as 720h", b.Expires)
		}
		expires = time.Now().Add(d).UTC().Truncate(time.Second)
	}
	if err := c.change("token create", b.Name+", "+role.String()); err != nil {
		return err
	}
	secret, made, err := t.Create(b.Name, role, expires, c.who.Name)
	if err != nil {
		return fail(http.StatusBadRequest, "%v", err)
	}
	return c.reply(madeToken{infoOf(&made), secret}, true)
}

func revokeToken(c *call) error {
	t, err := c.tokens()
	if err != nil {
		return err
	}
	which := c.r.PathValue("token")
	if err := c.change("token revoke", which); err != nil {
		return err
	}
	if _, err := t.Revoke(which); errors.Is(err, access.ErrNoToken) {
		return fail(http.StatusNotFound, "%v", err)
	} else if err != nil {
		return err
	}
	return c.reply(done{true}, true)
}

// change writes into the audit log that a setting is about to be changed.
func (c *call) change(act, detail string) error {
	if err := c.s.audit.Change(c.who.Who(), act, plain(errors.New(detail))); err != nil {
		c.s.opt.Log.Error("refused, as it cannot be written down", "act", act, "error", err)
		return fail(http.StatusServiceUnavailable, "this is not done, as the audit log cannot be written")
	}
	return nil
}
