package access

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// CookieName returns the name of a cookie of the server that a browser asks
// with r: base and the port. Browsers keep cookies by host and not by port, so
// servers beside each other on one machine, which all use one name, would log
// each other's visitors out. The port is the one that the browser sees, which a
// forwarding may have changed.
func CookieName(base string, r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "80"
		if r.TLS != nil {
			port = "443"
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		return base + "_" + strconv.FormatUint(n, 10)
	}
	return base
}

// WithoutToken returns the address of a page with the token taken out. It is
// one on this server, whatever the path begins with.
func WithoutToken(u *url.URL) string {
	q := u.Query()
	q.Del("token")
	out := url.URL{Path: "/" + strings.TrimLeft(u.Path, `/\`), RawQuery: q.Encode()}
	return out.String()
}

// Foreign reports whether a page of another site, or of another port of this
// host, led the browser here. Browsers that do not tell are taken at their word.
func Foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	}
	return false
}
