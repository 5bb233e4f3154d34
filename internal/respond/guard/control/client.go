package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"rollcage/internal/respond/guard"
)

// ErrNotRunning says that there is no guard at the socket.
var ErrNotRunning = errors.New("guard does not run")

// Client speaks with the guard at a socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the socket at path. It does not connect yet.
func NewClient(path string) *Client {
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

// call sends a request with body as JSON, nil for none, and reads the answer into out.
func (c *Client) call(ctx context.Context, method, path string, body, out any) error {
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://rollcage/v1"+path, &b)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("speak with guard at %s: you may not: become root, or a member of its --socket-group", c.path)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody answers at %s; start it with: rollcage guard", ErrNotRunning, c.path)
	case err != nil:
		return fmt.Errorf("speak with guard at %s: %w", c.path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("speak with guard at %s: %w", c.path, err)
	}
	if res.StatusCode != http.StatusOK {
		var p problem
		if json.Unmarshal(data, &p) == nil && p.Error != "" {
			return errors.New(p.Error)
		}
		return fmt.Errorf("guard at %s answers %s", c.path, res.Status)
	}
	return json.Unmarshal(data, out)
}

// Status asks how guard is.
func (c *Client) Status(ctx context.Context) (s guard.Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

// Act asks for an action about an incident and returns its ID.
func (c *Client) Act(ctx context.Context, incident string, a Act) (string, error) {
	var d Done
	err := c.call(ctx, http.MethodPost, "/incidents/"+url.PathEscape(incident)+"/actions", a, &d)
	return d.ID, err
}

// Undo takes back an action and returns the ID of the one that did.
func (c *Client) Undo(ctx context.Context, id string) (string, error) {
	var d Done
	err := c.call(ctx, http.MethodPost, "/actions/"+url.PathEscape(id)+"/undo", nil, &d)
	return d.ID, err
}

// Note adds a text to an incident.
func (c *Client) Note(ctx context.Context, incident, text string) error {
	return c.call(ctx, http.MethodPost, "/incidents/"+url.PathEscape(incident)+"/notes", map[string]string{"text": text}, &Done{})
}

// SetMode switches a policy.
func (c *Client) SetMode(ctx context.Context, name, mode string) error {
	return c.call(ctx, http.MethodPut, "/policies/"+url.PathEscape(name)+"/mode", map[string]string{"mode": mode}, &Done{})
}

// Reload has rules, policies and outputs read again.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/reload", nil, &Done{})
}
