package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OIDC accepts tokens of an OpenID Connect issuer: signed by one of the keys
// that the issuer publishes, for our audience, and not expired.
type OIDC struct {
	// Issuer is the URL below which /.well-known/openid-configuration is. It is
	// https, or http on this host.
	Issuer string
	// Audience must be in the token's aud.
	Audience string
	// RoleClaim is the claim, a text or a list of texts, that says the role; dots
	// lead into objects: realm_access.roles.
	RoleClaim string
	// Roles are the roles by value of the claim. Of several the highest counts;
	// who has none is nobody.
	Roles map[string]Role

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	tried    time.Time
	failed   error
}

// Check returns what is wrong with the configuration, nil if nothing is. It asks nobody.
func (o *OIDC) Check() error {
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil:
		return fmt.Errorf("OIDC issuer: %w", err)
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	case u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("OIDC issuer %q: it must be an https address", o.Issuer)
	}
	switch {
	case o.Audience == "":
		return errors.New("OIDC: without an audience, tokens that the issuer made for anybody else would be taken")
	case o.RoleClaim == "" || len(o.Roles) == 0:
		return errors.New("OIDC: name the claim that says the role, and which value is which role")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// The issuer may be down when we start or need a new key: it is asked when a
// token comes, with these limits.
const (
	issuerTimeout = 10 * time.Second
	issuerRetry   = 5 * time.Second
)

// ready returns the verifier, and asks the issuer for its configuration the first time.
func (o *OIDC) ready() (*oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.verifier != nil {
		return o.verifier, nil
	}
	if time.Since(o.tried) < issuerRetry {
		return nil, o.failed
	}
	// The provider keeps the client of this context for fetching keys later.
	ctx := oidc.ClientContext(context.Background(), &http.Client{Timeout: issuerTimeout})
	p, err := oidc.NewProvider(ctx, o.Issuer)
	o.tried = time.Now()
	if err != nil {
		o.failed = fmt.Errorf("the issuer of tokens cannot be asked: %w", err)
		return nil, o.failed
	}
	o.verifier = p.Verifier(&oidc.Config{ClientID: o.Audience})
	return o.verifier, nil
}

// verify returns whose token it is.
func (o *OIDC) verify(ctx context.Context, token string) (*Principal, error) {
	v, err := o.ready()
	if err != nil {
		return nil, err
	}
	t, err := v.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if err := t.Claims(&claims); err != nil {
		return nil, err
	}
	role := o.roleIn(claims)
	if role == Nobody {
		return nil, fmt.Errorf("the token of %q has no role here: see its claim %s", t.Subject, o.RoleClaim)
	}
	name := t.Subject
	if n, ok := claims["preferred_username"].(string); ok && n != "" && n != name {
		name = n + " (" + t.Subject + ")"
	}
	return &Principal{Name: name, Role: role, Via: viaOIDC, Expires: t.Expiry}, nil
}

// roleIn returns the highest role in the claims.
func (o *OIDC) roleIn(claims map[string]any) (best Role) {
	for _, v := range textsIn(valueAt(claims, o.RoleClaim)) {
		best = max(best, o.Roles[v])
	}
	return best
}

// valueAt finds a claim: by its whole name, which may have dots, else by its path.
func valueAt(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	name, rest, ok := strings.Cut(path, ".")
	inner, isObject := claims[name].(map[string]any)
	if !ok || !isObject {
		return nil
	}
	return valueAt(inner, rest)
}

func textsIn(v any) (out []string) {
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
