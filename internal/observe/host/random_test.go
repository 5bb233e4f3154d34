package host

import (
	"math/rand/v2"
	"slices"
	"testing"

	"rollcage/internal/observe/event"
)

// TestRandomLives applies well-formed events with arbitrary small numbers, so
// that processes, threads and descriptors meet in every way, and checks after
// each that all links and counts hold.
func TestRandomLives(t *testing.T) {
	var types []event.Type
	for typ := range applies {
		types = append(types, typ)
	}
	slices.Sort(types)
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		h := &fakeHost{threads: map[int64]*event.ThreadInfo{9: thread(9, 8, 1, "healed"), 8: thread(8, 8, 7, "healed")}}
		r := newRun(t, Options{MaxThreads: 14, MaxProcessFDs: 10, MaxFDs: 60, MaxContainers: 3, Healer: h})
		r.live = seed%2 == 0
		for range 5000 {
			typ := types[rnd.IntN(len(types))]
			if rnd.IntN(3) == 0 {
				typ = lifecycle[rnd.IntN(len(lifecycle))]
			}
			r.do(randomTID(rnd), typ, randomValues(rnd, typ.Info())...)
		}
		if st := r.Stats(); st.AddedThreads < 100 || st.RemovedThreads < 100 || st.AddedFDs < 100 || st.EvictedThreads == 0 {
			t.Errorf("too little happened: %+v", st)
		}
	}
}

// lifecycle are the events that change who is related to whom.
var lifecycle = []event.Type{
	event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.SYSCALL_VFORK_20_X, event.SYSCALL_EXECVE_19_X, event.PROCEXIT_1_E,
}

func randomTID(rnd *rand.Rand) int64 {
	ids := [...]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 100, 200, 201, 300, 301}
	return ids[rnd.IntN(len(ids))]
}

// randomValues makes up a value for each parameter, as likely as not of use.
func randomValues(rnd *rand.Rand, info *event.Info) []any {
	flags := [...]int{0, cloneThread | cloneFiles, cloneThread, cloneFiles, cloneInPidns, cloneNewPID, flagCloexec, 2, 4}
	values := make([]any, 0, len(info.Params))
	for i, p := range info.Params {
		switch {
		case rnd.IntN(8) == 0:
			values = append(values, nil)
		case i == 0 && p.Type.Size() == 8 && rnd.IntN(2) == 0:
			values = append(values, 0)
		case p.Type == event.TypePID:
			values = append(values, randomTID(rnd))
		case p.Name == "flags" && p.Type.Size() >= 4:
			values = append(values, flags[rnd.IntN(len(flags))])
		case p.Name == "cgroups":
			values = append(values, list("a=/lxc/"+string(rune('a'+rnd.IntN(6)))))
		case p.Name == "json" || p.Name == "data" && info.LargePayload():
			values = append(values, []byte(`{"id":"`+string(rune('a'+rnd.IntN(6)))+`","type":1}`))
		case p.Name == "name" && info.LargePayload():
			values = append(values, [...]string{containerAdded, containerRemoved}[rnd.IntN(2)])
		case p.Type == event.TypeSocktuple:
			values = append(values, [...][]byte{tuple(local4, remote4), tuple(local6, remote6), unixTuple(1, 2, "/s")}[rnd.IntN(3)])
		case p.Type == event.TypeSockaddr:
			values = append(values, [...][]byte{sockaddr(remote4), sockaddr(remote6)}[rnd.IntN(2)])
		case p.Name == "msgcontrol":
			values = append(values, rights(uint32(rnd.IntN(12))))
		case p.Type.Size() > 0:
			values = append(values, rnd.IntN(12)-1)
		case p.Type == event.TypeBytebuf:
			values = append(values, list("a", "b"))
		case p.Type == event.TypeDyn, p.Type == event.TypeFDList:
			values = append(values, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8})
		default:
			values = append(values, [...]string{"/a/b", "c", "../d", ""}[rnd.IntN(4)])
		}
	}
	return values
}
