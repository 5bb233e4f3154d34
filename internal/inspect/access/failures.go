package access

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures limits how many wrong tokens are looked at, by address: ten at
// once, then one every six seconds. It keeps the audit log and the issuer of
// tokens from being flooded.
type failures struct {
	mu     sync.Mutex
	byAddr map[netip.Prefix]*rate.Limiter
}

const (
	failureBurst = 10
	failureEvery = 6 * time.Second
	maxAddresses = 4096
)

// room reports whether a wrong token from there would still be looked at.
func (f *failures) room(from string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limiter(from, now).TokensAt(now) >= 1
}

// add counts a wrong token.
func (f *failures) add(from string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limiter(from, now).AllowN(now, 1)
}

// limiter returns that of an address; the many of one IPv6 network count as one.
// What has no address, and all when there are too many, share one.
func (f *failures) limiter(from string, now time.Time) *rate.Limiter {
	if f.byAddr == nil {
		f.byAddr = map[netip.Prefix]*rate.Limiter{}
	}
	key := prefixOf(from)
	if l := f.byAddr[key]; l != nil {
		return l
	}
	if len(f.byAddr) >= maxAddresses {
		for k, l := range f.byAddr {
			if l.TokensAt(now) >= failureBurst {
				delete(f.byAddr, k)
			}
		}
		if len(f.byAddr) >= maxAddresses {
			key = netip.Prefix{}
			if l := f.byAddr[key]; l != nil {
				return l
			}
		}
	}
	l := rate.NewLimiter(rate.Every(failureEvery), failureBurst)
	f.byAddr[key] = l
	return l
}

func prefixOf(from string) netip.Prefix {
	ap, err := netip.ParseAddrPort(from)
	if err != nil {
		return netip.Prefix{}
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
