package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func tokensIn(t *testing.T) *Tokens { return NewTokens(filepath.Join(t.TempDir(), "tokens.json")) }

func mustCreate(t *testing.T, k *Tokens, name string, role Role, expires time.Time) string {
	t.Helper()
	secret, _, err := k.Create(name, role, expires, "test")
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestATokenHoldsUntilItExpiresOrIsRevoked(t *testing.T) {
	k := tokensIn(t)
	g := &Gate{Tokens: k}
	secret := mustCreate(t, k, "alice", Responder, time.Time{})
	p, cookie, err := g.Identify(bearer(secret))
	if err != nil || p.Name != "alice" || p.Role != Responder || cookie {
		t.Fatalf("got %+v %v %v", p, cookie, err)
	}
	brief := mustCreate(t, k, "brief", Admin, time.Now().Add(time.Hour))
	if tok, _ := k.find(brief, time.Now().Add(2*time.Hour)); tok != nil {
		t.Error("an expired token holds")
	}
	for _, wrong := range []string{"", "x", secret + "0", secret[:len(secret)-1], strings.Replace(secret, "rollcage_", "", 1) + "x", tokenPrefix + "_", "a.b.c"} {
		if p, _, err := g.Identify(bearer(wrong)); p != nil || !errors.Is(err, ErrRefused) {
			t.Errorf("%q: got %v %v", wrong, p, err)
		}
	}
	// Another process revokes it.
	if _, err := NewTokens(k.path).Revoke("alice"); err != nil {
		t.Fatal(err)
	}
	if p, _, err := g.Identify(bearer(secret)); p != nil || !errors.Is(err, ErrRefused) {
		t.Errorf("a revoked token: %v %v", p, err)
	}
	if _, err := k.Revoke("alice"); !errors.Is(err, ErrNoToken) {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestTheFileOfTokensHoldsNoSecretAndIsForItsOwnerAlone(t *testing.T) {
	k := tokensIn(t)
	secret := mustCreate(t, k, "alice", Viewer, time.Time{})
	b, err := os.ReadFile(k.path)
	if err != nil || strings.Contains(string(b), secret[len(secret)-32:]) {
		t.Errorf("%v %s", err, b)
	}
	if st, _ := os.Stat(k.path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestTokensAreNotMadeWithoutNameRoleOrTime(t *testing.T) {
	k := tokensIn(t)
	mustCreate(t, k, "alice", Viewer, time.Time{})
	for _, c := range []struct {
		name    string
		role    Role
		expires time.Time
	}{{"", Viewer, time.Time{}}, {"a\x1bb", Viewer, time.Time{}}, {"bob", Nobody, time.Time{}}, {"bob", Admin + 1, time.Time{}},
		{"bob", Viewer, time.Now().Add(-time.Second)}, {"alice", Viewer, time.Time{}}} {
		if _, _, err := k.Create(c.name, c.role, c.expires, ""); err == nil {
			t.Errorf("%+v was made", c)
		}
	}
}

func TestABrokenFileOfTokensLetsNobodyIn(t *testing.T) {
	k := tokensIn(t)
	g := &Gate{Tokens: k}
	secret := mustCreate(t, k, "alice", Admin, time.Time{})
	if err := os.WriteFile(k.path, []byte(`[{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, _, err := g.Identify(bearer(secret)); p != nil || err == nil {
		t.Errorf("got %v %v", p, err)
	}
	if _, _, err := k.Create("bob", Viewer, time.Time{}, ""); err == nil {
		t.Error("a broken file was replaced")
	}
}

func TestASessionEndsWithItsTokenAndByItself(t *testing.T) {
	k := tokensIn(t)
	g := &Gate{Tokens: k}
	secret := mustCreate(t, k, "alice", Responder, time.Time{})
	p, err := g.Verify(context.Background(), secret, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	value, _ := g.Begin(p)
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: CookieName(Cookie, r), Value: value})
	if p, cookie, err := g.Identify(r); err != nil || p.Name != "alice" || !cookie {
		t.Fatalf("got %+v %v %v", p, cookie, err)
	}
	if _, err := k.Revoke("alice"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Identify(r); !errors.Is(err, ErrNobody) {
		t.Errorf("after the token was revoked: %v", err)
	}
	value, _ = g.Begin(&Principal{Name: "brief", Role: Viewer, Via: viaOIDC, Expires: time.Now().Add(-time.Second)})
	r = httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: CookieName(Cookie, r), Value: value})
	if _, _, err := g.Identify(r); !errors.Is(err, ErrNobody) {
		t.Errorf("after its time: %v", err)
	}
}

func TestFailedLoginsAreLimitedByAddressAndLockNobodyElseOut(t *testing.T) {
	k := tokensIn(t)
	g := &Gate{Tokens: k}
	secret := mustCreate(t, k, "alice", Viewer, time.Time{})
	var last error
	for range failureBurst + 1 {
		_, last = g.Verify(context.Background(), "wrong", "192.0.2.1:9")
	}
	if !errors.Is(last, ErrTooMany) {
		t.Errorf("after %d: %v", failureBurst+1, last)
	}
	if _, err := g.Verify(context.Background(), "wrong", "192.0.2.2:9"); !errors.Is(err, ErrRefused) {
		t.Errorf("another address: %v", err)
	}
	if _, err := g.Verify(context.Background(), secret, "192.0.2.1:9"); err != nil {
		t.Errorf("the right token from the same address: %v", err)
	}
	for i := range maxAddresses + 100 {
		_, _ = g.Verify(context.Background(), "wrong", fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if n := len(g.failures.byAddr); n > maxAddresses+1 {
		t.Errorf("%d addresses are remembered", n)
	}
}

// issuer is a real OpenID Connect issuer as far as verifying needs one.
type issuer struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	signer jose.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.rotate(t, "1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: i.kid(), Algorithm: "ES256", Use: "sig"}}})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

var kids = map[*ecdsa.PrivateKey]string{}

func (i *issuer) kid() string { return kids[i.key] }

func (i *issuer) rotate(t *testing.T, kid string) {
	t.Helper()
	var err error
	if i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	kids[i.key] = kid
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": i.URL, "sub": "u-1", "aud": "rollcage", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	s, err := jwt.Signed(i.signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATokenOfTheIssuerHasTheRoleOfItsClaim(t *testing.T) {
	i := newIssuer(t)
	g := &Gate{OIDC: &OIDC{Issuer: i.URL, Audience: "rollcage", RoleClaim: "realm_access.roles", Roles: map[string]Role{"sec": Responder, "boss": Admin, "all": Viewer}}}
	roles := func(r ...string) map[string]any { return map[string]any{"realm_access": map[string]any{"roles": r}} }
	for _, c := range []struct {
		name   string
		claims map[string]any
		want   Role
	}{
		{"a list: the highest counts", roles("all", "sec", "other"), Responder},
		{"one text", map[string]any{"realm_access": map[string]any{"roles": "boss"}}, Admin},
		{"the claim's whole name", map[string]any{"realm_access.roles": "all"}, Viewer},
		{"no value that is a role", roles("other"), Nobody},
		{"no claim", nil, Nobody},
		{"a claim of another kind", map[string]any{"realm_access": 7}, Nobody},
		{"for somebody else", map[string]any{"aud": "other", "realm_access.roles": "boss"}, Nobody},
		{"of another issuer", map[string]any{"iss": "https://other.example", "realm_access.roles": "boss"}, Nobody},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Minute).Unix(), "realm_access.roles": "boss"}, Nobody},
	} {
		p, err := g.Verify(context.Background(), i.token(t, c.claims), fmt.Sprintf("[2001:db8:%x::1]:1", len(c.name)))
		if c.want == Nobody {
			if p != nil || !errors.Is(err, ErrRefused) {
				t.Errorf("%s: got %+v %v", c.name, p, err)
			}
			continue
		}
		if err != nil || p.Role != c.want || p.Name != "u-1" || p.Expires.IsZero() {
			t.Errorf("%s: got %+v %v, want %s", c.name, p, err, c.want)
		}
	}
}

func TestATokenWithAnotherSignatureIsRefusedAndNewKeysAreFetched(t *testing.T) {
	i, evil := newIssuer(t), newIssuer(t)
	g := &Gate{OIDC: &OIDC{Issuer: i.URL, Audience: "rollcage", RoleClaim: "role", Roles: map[string]Role{"admin": Admin}}}
	claims := map[string]any{"role": "admin", "preferred_username": "ann"}
	if p, err := g.Verify(context.Background(), i.token(t, claims), "192.0.2.1:1"); err != nil || p.Name != "ann (u-1)" {
		t.Fatalf("got %+v %v", p, err)
	}
	forged := evil.token(t, map[string]any{"iss": i.URL, "role": "admin"})
	if p, err := g.Verify(context.Background(), forged, "192.0.2.1:1"); p != nil || !errors.Is(err, ErrRefused) {
		t.Errorf("forged: %v %v", p, err)
	}
	parts := strings.Split(i.token(t, claims), ".")
	none := "eyJhbGciOiJub25lIn0." + parts[1] + "."
	if p, err := g.Verify(context.Background(), none, "192.0.2.1:1"); p != nil || err == nil {
		t.Errorf("unsigned: %v %v", p, err)
	}
	i.rotate(t, "2")
	if p, err := g.Verify(context.Background(), i.token(t, claims), "192.0.2.1:1"); err != nil || p.Role != Admin {
		t.Errorf("after new keys: %v %v", p, err)
	}
}

func TestAnIssuerThatIsDownIsAskedAgainLater(t *testing.T) {
	i := newIssuer(t)
	o := &OIDC{Issuer: "http://127.0.0.1:1", Audience: "rollcage", RoleClaim: "role", Roles: map[string]Role{"admin": Admin}}
	token := i.token(t, map[string]any{"role": "admin"})
	if _, err := o.verify(context.Background(), token); err == nil {
		t.Fatal("verified by nobody")
	}
	o.Issuer, o.tried = i.URL, time.Now().Add(-time.Minute)
	if p, err := o.verify(context.Background(), token); err != nil || p.Role != Admin {
		t.Errorf("got %+v %v", p, err)
	}
}

func TestAConfigurationThatTrustsTooMuchIsRefused(t *testing.T) {
	roles := map[string]Role{"a": Admin}
	for _, c := range []struct {
		o  *OIDC
		ok bool
	}{
		{&OIDC{Issuer: "https://id.example", Audience: "x", RoleClaim: "groups", Roles: roles}, true},
		{&OIDC{Issuer: "http://127.0.0.1:8080", Audience: "x", RoleClaim: "groups", Roles: roles}, true},
		{&OIDC{Issuer: "http://id.example", Audience: "x", RoleClaim: "groups", Roles: roles}, false},
		{&OIDC{Issuer: "id.example", Audience: "x", RoleClaim: "groups", Roles: roles}, false},
		{&OIDC{Issuer: "https://id.example", RoleClaim: "groups", Roles: roles}, false},
		{&OIDC{Issuer: "https://id.example", Audience: "x", RoleClaim: "groups"}, false},
	} {
		if err := c.o.Check(); (err == nil) != c.ok {
			t.Errorf("%s %q: %v", c.o.Issuer, c.o.Audience, err)
		}
	}
}

func TestOwnCertificateIsMadeOnceAndAgainForOtherNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	a, made, err := OwnCertificate(dir, []string{"localhost", "192.0.2.1"})
	if err != nil || !made || a.Leaf.VerifyHostname("192.0.2.1") != nil {
		t.Fatalf("%v %v", made, err)
	}
	b, made, err := OwnCertificate(dir, []string{"192.0.2.1"})
	if err != nil || made || Fingerprint(a) != Fingerprint(b) || len(Fingerprint(a)) != 95 {
		t.Errorf("the second time: %v %v %s", made, err, Fingerprint(b))
	}
	if _, made, err = OwnCertificate(dir, []string{"other"}); err != nil || !made {
		t.Errorf("another name: %v %v", made, err)
	}
	if st, _ := os.Stat(filepath.Join(dir, "key.pem")); st.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v", st.Mode())
	}
}
