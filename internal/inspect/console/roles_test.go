package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"rollcage/internal/inspect/access"
)

// issuer returns a gate's OpenID Connect issuer and a function that signs a token with values of the claim.
func issuer(t *testing.T) (o *access.OIDC, sign func(expires time.Duration, groups ...string) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	must(t, err)
	var url string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": url, "jwks_uri": url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	url = srv.URL
	o = &access.OIDC{Issuer: url, Audience: "rollcage", RoleClaim: "groups", Roles: map[string]access.Role{
		"staff": access.Viewer, "sec-team": access.Responder, "sec-lead": access.Admin,
	}}
	return o, func(expires time.Duration, groups ...string) string {
		text, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": url, "sub": "ann", "aud": "rollcage", "iat": time.Now().Unix(), "exp": time.Now().Add(expires).Unix(), "groups": groups,
		}).Serialize()
		must(t, err)
		return text
	}
}

// operation is one of the OpenAPI document.
type operation struct {
	ID   string `json:"operationId"`
	Role string `json:"x-rollcage-role"`
}

// operations reads the document as a client would: from the server.
func operations(t *testing.T, client *http.Client, url string) map[string]map[string]operation {
	t.Helper()
	res, err := client.Get(url + "/api/openapi.json")
	must(t, err)
	defer res.Body.Close()
	var doc struct {
		Paths map[string]map[string]operation
	}
	must(t, json.NewDecoder(res.Body).Decode(&doc))
	return doc.Paths
}

// TestEveryOperationOfTheDocumentIsRefusedToWhoMayNot asks over HTTPS for every operation of the OpenAPI
// document that the server serves, with every proof of who asks. An operation that is new has no row in wanted
// and requests, and fails.
func TestEveryOperationOfTheDocumentIsRefusedToWhoMayNot(t *testing.T) {
	b := newBench(t)
	oidc, sign := issuer(t)
	b.gate.OIDC = oidc
	expired, _, err := b.gate.Tokens.Create("expired", access.Admin, time.Now().Add(50*time.Millisecond), "test")
	must(t, err)
	revoked, _, err := b.gate.Tokens.Create("revoked", access.Admin, time.Time{}, "test")
	must(t, err)
	_, err = b.gate.Tokens.Revoke("revoked")
	must(t, err)
	time.Sleep(60 * time.Millisecond)
	const from = "X-Test-From" // an address for each request, so that none is refused for what others did
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = r.Header.Get(from)
		b.server.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	client := srv.Client()
	ranks := map[string]int{"": 0, "viewer": 1, "responder": 2, "admin": 3}
	askers := []struct{ name, token, role, who string }{
		{"nobody", "", "", ""},
		{"a viewer's token", b.tokens["viewer"], "viewer", "the viewer API, token, viewer"},
		{"a responder's token", b.tokens["responder"], "responder", "the responder API, token, responder"},
		{"an admin's token", b.tokens["admin"], "admin", ""},
		{"OIDC as viewer", sign(time.Hour, "staff"), "viewer", "ann API, oidc, viewer"},
		{"OIDC as responder", sign(time.Hour, "staff", "sec-team"), "responder", "ann API, oidc, responder"},
		{"OIDC as admin", sign(time.Hour, "sec-lead"), "admin", ""},
		{"OIDC without a role", sign(time.Hour, "guests"), "", "nobody"},
		{"OIDC whose time is over", sign(-time.Hour, "sec-lead"), "", "nobody"},
		{"an expired token", expired, "", "nobody"},
		{"a revoked token", revoked, "", "nobody"},
		{"a wrong token", b.tokens["admin"] + "0", "", "nobody"},
	}
	reqs, n := b.requests(), 0
	for path, ops := range operations(t, client, srv.URL) {
		for method, op := range ops {
			need, known := wanted[op.ID]
			q, ok := reqs[op.ID]
			if !known || !ok {
				t.Errorf("%s %s (%s) is tested for no role", method, path, op.ID)
				continue
			}
			for _, a := range askers {
				n++
				before := len(b.audited("refused")) + len(b.audited("login failed"))
				r, err := http.NewRequest(strings.ToUpper(method), srv.URL+q.path, strings.NewReader(q.body))
				must(t, err)
				r.Header.Set(header, "1")
				r.Header.Set(from, fmt.Sprintf("10.%d.%d.1:1", n>>8, n&255))
				if a.token != "" {
					r.Header.Set("Authorization", "Bearer "+a.token)
				}
				res, err := client.Do(r)
				must(t, err)
				var body []byte
				if res.Header.Get("Content-Type") != "text/event-stream" {
					body, _ = io.ReadAll(res.Body)
				}
				res.Body.Close()
				if ranks[a.role] >= ranks[need] {
					if res.StatusCode == 401 || res.StatusCode == 403 {
						t.Errorf("%s by %s: %d %s", op.ID, a.name, res.StatusCode, body)
					}
					continue
				}
				want, act := http.StatusForbidden, "refused"
				if a.role == "" {
					want, act = http.StatusUnauthorized, "login failed"
				}
				if res.StatusCode != want {
					t.Errorf("%s by %s: %d %s, want %d", op.ID, a.name, res.StatusCode, body, want)
				}
				lines := b.audited(act)
				if noted := len(b.audited("refused")) + len(b.audited("login failed")) - before; a.token == "" && noted != 0 || a.token != "" && noted != 1 {
					t.Errorf("%s by %s: %d refusals noted", op.ID, a.name, noted)
				} else if a.token != "" && !strings.HasPrefix(lines[len(lines)-1], a.who) {
					t.Errorf("%s by %s is noted as %q", op.ID, a.name, lines[len(lines)-1])
				}
			}
		}
	}
	if n != len(wanted)*len(askers) {
		t.Errorf("%d requests for %d operations and %d askers", n, len(wanted), len(askers))
	}
}
