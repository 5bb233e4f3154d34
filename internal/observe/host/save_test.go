package host

import (
	"bytes"
	"encoding/gob"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcage/internal/observe/event"
)

func saveState(t testing.TB, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// savedOf returns what a state saves of itself.
func savedOf(t testing.TB, s *State) *saved {
	t.Helper()
	v := new(saved)
	if err := gob.NewDecoder(bytes.NewReader(saveState(t, s))).Decode(v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestARestoredStateGoesOnTheSameWay saves states in the middle of random
// lives and applies what follows to both.
func TestARestoredStateGoesOnTheSameWay(t *testing.T) {
	opts := cmp.Options{cmpopts.IgnoreUnexported(Container{}, FD{}), cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()}
	var types []event.Type
	for typ := range applies {
		types = append(types, typ)
	}
	slices.Sort(types)
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		opt := Options{MaxThreads: 14, MaxProcessFDs: 10, MaxFDs: 60, MaxContainers: 3}
		r := newRun(t, opt)
		r.live = false
		step := func() {
			typ := types[rnd.IntN(len(types))]
			if rnd.IntN(3) == 0 {
				typ = lifecycle[rnd.IntN(len(lifecycle))]
			}
			r.do(randomTID(rnd), typ, randomValues(rnd, typ.Info())...)
		}
		for range 400 {
			step()
		}
		again, err := Restore(bytes.NewReader(saveState(t, r.State)), opt)
		if err != nil {
			t.Fatal(err)
		}
		// The choice of a victim goes by where the last one was found, which is
		// not saved: from here on there is room for all.
		r.opt.MaxThreads, again.opt.MaxThreads = 1000, 1000
		r.hand, r.evictHand = 0, 0
		var he Event
		for i := range 400 {
			step()
			again.Apply(&r.ev, &he)
			checkLinks(t, again)
			if i%25 != 0 {
				continue // comparing takes long
			}
			if diff := cmp.Diff(savedOf(t, r.State), savedOf(t, again), opts); diff != "" {
				t.Fatalf("seed %d: the states differ after %d events, the last is %s:\n%s", seed, i+1, r.ev.Type(), diff)
			}
		}
	}
}

func TestASavedStateThatDoesNotFitTogetherIsAnError(t *testing.T) {
	for name, v := range map[string]saved{
		"no such table":         {Threads: []savedThread{{ThreadInfo: event.ThreadInfo{TID: 1}, Table: 3}}},
		"no such descriptor":    {Slots: [][]savedSlot{{{Num: 1, FD: 7}}}, Tables: []int{0}},
		"no such contents":      {Tables: []int{1}},
		"contents of nobody":    {Slots: [][]savedSlot{{}}},
		"no such leader":        {Tables: []int{0}, Slots: [][]savedSlot{{}}, Threads: []savedThread{{ThreadInfo: event.ThreadInfo{TID: 1}, Leader: 9}}},
		"a thread twice":        {Tables: []int{0}, Slots: [][]savedSlot{{}}, Threads: []savedThread{{ThreadInfo: event.ThreadInfo{TID: 1}}, {ThreadInfo: event.ThreadInfo{TID: 1}}}},
		"a descriptor below 0":  {FDs: make([]savedFD, 1), Slots: [][]savedSlot{{{Num: -1}}}, Tables: []int{0}},
		"a thread with no name": {Tables: []int{0}, Slots: [][]savedSlot{{}}, Threads: []savedThread{{}}},
	} {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(&v); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(&b, Options{}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}

// FuzzRestore reads arbitrary bytes as a saved state.
func FuzzRestore(f *testing.F) {
	s := New(Options{})
	s.Load(smallHost())
	f.Add(saveState(f, s))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Restore(bytes.NewReader(data), Options{})
		if err != nil {
			return
		}
		var ev event.Event
		var he Event
		for b := seedBytes; ev.Reset(b) == nil; b = b[len(ev.Bytes()):] {
			s.Apply(&ev, &he)
		}
	})
}

var seedBytes = func() []byte {
	b, err := event.Append(nil, 1e12, 100, event.PROCEXIT_1_E, 0, 0, 0, 0, 1)
	if err != nil {
		panic(err)
	}
	return b
}()
