package api

import (
	"slices"
	"sync"

	"rollcage/internal/inspect/recording"
)

// listing knows how many events of a window a filter fits in each stretch of
// the capture, so that any row of a list of millions can be gone to by reading
// one stretch.
type listing struct {
	stretches []recording.Stretch
	counts    []uint64 // events that fit, by stretch
	total     uint64
	done      bool
}

// at returns the stretch that holds row n and the number of the row in it.
func (l *listing) at(n uint64) (stretch int, within uint64, ok bool) {
	for i, c := range l.counts {
		if n < c {
			return i, n, true
		}
		n -= c
	}
	return 0, 0, false
}

// maxListings is how many listings are remembered.
const maxListings = 64

// listings remembers the listings that are done.
type listings struct {
	mu    sync.Mutex
	byKey map[listingKey]*listing
	order []listingKey
}

type listingKey struct {
	rec    *recording.Recording
	window recording.Window
	filter string
}

func newListings() *listings { return &listings{byKey: map[listingKey]*listing{}} }

func (l *listings) get(k listingKey) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byKey[k]
}

// forget forgets the listings of a capture.
func (l *listings) forget(rec *recording.Recording) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = slices.DeleteFunc(l.order, func(k listingKey) bool {
		if k.rec == rec {
			delete(l.byKey, k)
		}
		return k.rec == rec
	})
}

func (l *listings) put(k listingKey, v *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey[k] == nil {
		l.order = append(l.order, k)
	}
	l.byKey[k] = v
	if len(l.order) > maxListings {
		delete(l.byKey, l.order[0])
		l.order = l.order[1:]
	}
}
