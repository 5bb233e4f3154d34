package access

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestCookiesOfServersBesideEachOtherHaveTheirOwnNames(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:4747": "c_4747", "localhost:4748": "c_4748", "[::1]:4747": "c_4747", "box": "c_80", "box:443": "c_443",
		"box:4747; x": "c", "box:99999": "c", "box:": "c",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		if got := CookieName("c", r); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	r := &http.Request{Host: "box.example", TLS: &tls.ConnectionState{}}
	if got := CookieName("c", r); got != "c_443" {
		t.Errorf("with TLS: %s", got)
	}
}

func TestAnAddressWithoutItsTokenStaysOnThisServer(t *testing.T) {
	for in, want := range map[string]string{
		"/?token=T":                       "/",
		"/views?view=files&token=T":       "/views?view=files",
		"//evil.example/x?token=T":        "/evil.example/x",
		"/\\evil.example?token=T":         "/evil.example",
		"/%5Cevil.example?token=T":        "/evil.example",
		"/%2f%2fevil.example/a?token=T":   "/evil.example/a",
		"/a%3Fb?token=T&filter=a%26b%3D1": "/a%3Fb?filter=a%26b%3D1",
	} {
		u, err := url.ParseRequestURI(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := WithoutToken(u); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
