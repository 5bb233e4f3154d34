package api

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime"
	"testing"
)

// held returns the bytes that are in use.
func held() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestManyDifferentQuestionsHoldNoMoreMemoryThanTheCachesMay(t *testing.T) {
	v := newVisitor(t, write(t, 500))
	const room = 1 << 20
	v.s.answers = newAnswerCache(room)
	r := rand.New(rand.NewPCG(1, 2))
	info := v.s.captures[0].Info()
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	ask := func(n int) {
		for i := range n {
			from := info.Start + r.Uint64N(info.End-info.Start)
			q := url.Values{
				"filter": {fmt.Sprintf("%s and evt.num != %d", pick("evt.type=write", "proc.name=bash", "fd.name contains none", "evt.failed=false"), i)},
				"from":   {uitoa(from)}, "to": {uitoa(from + 400_000)},
			}
			var out any
			v.ask(pick("/events", "/overview", "/views/procs", "/views/files", "/views/syscalls", "/views/errors", "/conversation", "/latency"), q, &out)
		}
	}
	ask(150)
	before := held()
	ask(350)
	if after := held(); after > before+2*room {
		t.Errorf("%d bytes are held after 150 questions, %d after 500", before, after)
	}
	if n := len(v.s.lists.byKey); n > maxListings {
		t.Errorf("%d listings are kept", n)
	}
	if v.s.answers.used > room {
		t.Errorf("%d bytes of answers are kept", v.s.answers.used)
	}
}
