package host

import (
	"encoding/binary"
	"testing"

	"rollcage/internal/observe/event"
)

// seedEvents are the events of a short life, back to back.
func seedEvents(f *testing.F) []byte {
	f.Helper()
	var b []byte
	add := func(tid int64, typ event.Type, values ...any) {
		var err error
		if b, err = event.Append(b, 1e12, tid, typ, values...); err != nil {
			f.Fatal(err)
		}
	}
	add(100, event.SYSCALL_CLONE_20_X, forked{res: 300, tid: 100, pid: 100, cgroups: "a=/docker/" + longID}.values()...)
	add(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100}.values()...)
	add(301, event.SYSCALL_CLONE3_X, forked{tid: 301, pid: 300, ptid: 100, flags: cloneThread | cloneFiles}.values()...)
	add(300, event.SYSCALL_OPENAT_2_E, 3, "x", 1, 0)
	add(300, event.SYSCALL_OPENAT_2_X, 5, AtCWD, "x", 1, 0, 1, 2)
	add(301, event.SOCKET_SOCKET_X, 6, 2, 2, 0, 0)
	add(300, event.SOCKET_SENDTO_X, 1, []byte("x"), 6, 1, tuple(local4, remote4))
	add(300, event.SYSCALL_DUP3_X, 9, 6, 9, 0)
	add(301, event.SYSCALL_CLOSE_RANGE_X, 0, 5, 7, 2)
	add(301, event.SYSCALL_EXECVE_19_X, 0, "x", nil, 301, 300, 1)
	add(300, event.SOCKET_RECVMSG_X, 1, 1, []byte("x"), unixTuple(1, 2, "/s"), rights(8), 9)
	add(300, event.PROCEXIT_1_E, 0, 0, 0, 0, 100)
	add(-1, event.CONTAINER_JSON_2_E, `{"id":"abc"}`)
	add(-1, event.USER_ADDED_E, 1, 1, "a", "b", "c", "abc")
	return b
}

// FuzzApply applies events made of arbitrary bytes to a small host.
func FuzzApply(f *testing.F) {
	f.Add(seedEvents(f))
	for _, info := range event.All() {
		// An event of each type with and without bytes in its parameters.
		for _, size := range []byte{0, 1, 8, 20} {
			f.Add(rawEvent(info.Type, size))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &fakeHost{threads: map[int64]*event.ThreadInfo{100: thread(100, 100, 1, "bash")}}
		s := New(Options{MaxThreads: 12, MaxProcessFDs: 8, MaxFDs: 40, MaxContainers: 3, HealRate: 4, Healer: h})
		snap := smallHost()
		snap.Live = len(data)%2 == 0
		s.Load(snap)
		checkLinks(t, s)
		var ev event.Event
		var he Event
		for n := 0; n < 64 && len(data) >= event.HeaderSize; n++ {
			// Few threads, so that events meet.
			binary.LittleEndian.PutUint64(data[8:], uint64(fuzzTID(data[8])))
			if ev.Reset(data) != nil {
				data = data[1:]
				continue
			}
			data = data[len(ev.Bytes()):]
			s.Apply(&ev, &he)
			checkLinks(t, s)
			if he.FD != nil && he.Thread == nil {
				t.Fatalf("%s: a descriptor without a thread", ev.Type())
			}
		}
		if got := len(s.containers); got > 3+12 {
			t.Fatalf("%d containers", got)
		}
		s.Load(s.Snapshot())
		checkLinks(t, s)
	})
}

// fuzzTID maps a byte to the ids of the small host and a few others.
func fuzzTID(b byte) int64 {
	ids := [...]int64{1, 100, 200, 201, 300, 301, 302, 303, 400, -1}
	return ids[int(b)%len(ids)]
}

// rawEvent lays out an event whose parameters all have the given size.
func rawEvent(typ event.Type, size byte) []byte {
	info := typ.Info()
	width := 2
	if info.LargePayload() {
		width = 4
	}
	b := make([]byte, event.HeaderSize, 512)
	b[8] = 1
	binary.LittleEndian.PutUint16(b[20:], uint16(typ))
	binary.LittleEndian.PutUint32(b[22:], uint32(len(info.Params)))
	for range info.Params {
		b = append(b, size)
		b = append(b, make([]byte, width-1)...)
	}
	for i := range info.Params {
		for range size {
			b = append(b, byte(i))
		}
	}
	binary.LittleEndian.PutUint32(b[16:], uint32(len(b)))
	return b
}

func FuzzContainerJSON(f *testing.F) {
	f.Add([]byte(`{"container":{"id":"abc","type":0,"labels":{"a":"b"},"rollcage_health":"healthy","Mounts":[{"Source":"a"}]}}` + "\x00"))
	f.Add([]byte(`{"id":"abc","type":1,"name":"a","image":"b:c@d"}`))
	f.Add([]byte(`{"container":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseContainerJSON(data)
		if err != nil {
			return
		}
		again, err := ParseContainerJSON(c.AppendJSON(nil))
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if string(again.AppendJSON(nil)) != string(c.AppendJSON(nil)) {
			t.Fatalf("%s became %s", c.AppendJSON(nil), again.AppendJSON(nil))
		}
	})
}

func FuzzContainerFromCgroups(f *testing.F) {
	f.Add("a=/docker/" + longID + "\x00b=/")
	f.Add(`a=/machine.slice/machine-lxc\x2d1\x2dweb.scope`)
	f.Fuzz(func(t *testing.T, cgroups string) {
		id, full, _, ok := ContainerFromCgroups(cgroups)
		if ok != (id != "") || ok != (full != "") || len(id) > len(full) {
			t.Fatalf("id %q, full id %q, found %v", id, full, ok)
		}
	})
}
