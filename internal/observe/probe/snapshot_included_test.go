package probe

import (
	"testing"

	"rollcage/internal/observe/event"
)

// The snapshot of the tests: process 100 with thread 101, their child 200, and
// process 300 in a pid namespace, where it is 7. Descriptors of each process
// were read at 1000, threads at 2000.
func testIncluded() *included {
	in := newIncluded()
	for _, t := range []event.ThreadInfo{
		{TID: 100, PID: 100, PTID: 1, VTID: 100},
		{TID: 101, PID: 100, PTID: 1, VTID: 101},
		{TID: 200, PID: 200, PTID: 100, VTID: 200},
		{TID: 300, PID: 300, PTID: 90, VTID: 7},
		{TID: 310, PID: 310, PTID: 300, VTID: 8},
	} {
		in.addFDs(t.PID, 1000)
		in.addThread(&t, 2000)
	}
	in.end = 3000
	return in
}

func makeEvent(t *testing.T, ts uint64, tid int64, typ event.Type, values ...any) *event.Event {
	t.Helper()
	b, err := event.Append(nil, ts, tid, typ, values...)
	if err != nil {
		t.Fatal(err)
	}
	ev := new(event.Event)
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestEventsThatTheSnapshotContains(t *testing.T) {
	const (
		open, close, read = event.SYSCALL_OPENAT_2_X, event.SYSCALL_CLOSE_X, event.SYSCALL_READ_X
		chdir, fchdir     = event.SYSCALL_CHDIR_X, event.SYSCALL_FCHDIR_X
		execve, exit      = event.SYSCALL_EXECVE_19_X, event.PROCEXIT_1_E
		clone             = event.SYSCALL_CLONE_20_X
	)
	type step struct {
		ts     uint64
		tid    int64
		typ    event.Type
		values []any
		want   bool
	}
	result := func(n int64) []any { return []any{n} }
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"an open before the descriptors were read is, one after is not", []step{
			{999, 100, open, nil, true}, {1000, 100, open, nil, false}, {1500, 100, open, nil, false}}},
		{"closes and uses of descriptors follow the same time", []step{
			{999, 100, close, nil, true}, {1500, 100, close, nil, false}, {999, 100, read, nil, true}, {1500, 100, read, nil, false}}},
		{"the descriptors of a process are those of all its threads", []step{
			{999, 101, open, nil, true}, {1000, 101, open, nil, false}}},
		{"what changes the thread follows the thread's time", []step{
			{1999, 100, chdir, nil, true}, {2000, 100, chdir, nil, false}, {1999, 100, fchdir, nil, true}, {2500, 100, fchdir, nil, false}}},
		{"a thread that is not in the snapshot keeps all events", []step{
			{1, 555, open, nil, false}, {1, 555, chdir, nil, false}}},
		{"a thread born meanwhile in a known process shares its descriptors", []step{
			{900, 555, clone, []any{int64(0), nil, nil, int64(555), int64(100)}, false}, {950, 555, open, nil, true},
			{950, 555, chdir, nil, false}, {1500, 555, open, nil, false}}},
		{"a process born meanwhile keeps all events", []step{
			{900, 555, clone, []any{int64(0), nil, nil, int64(555), int64(555)}, false}, {950, 555, open, nil, false}}},
		{"the first event of a child in the snapshot is", []step{
			{1999, 200, clone, result(0), true}, {2000, 200, clone, result(0), false}}},
		{"the parent's event is if the child is, however late", []step{
			{1999, 100, clone, result(200), true}, {2500, 100, clone, result(200), true}, {1000, 100, clone, result(201), false}}},
		{"the parent's event names a thread that it started", []step{
			{1999, 100, clone, result(101), true}}},
		{"in a pid namespace the child is known by its inner id", []step{
			{1999, 300, clone, result(8), true}, {1999, 300, clone, result(310), false}}},
		{"a clone that failed follows the parent's time", []step{
			{1999, 100, clone, result(-11), true}, {2000, 100, clone, result(-11), false}, {1, 555, clone, result(-11), false}}},
		{"the end of a thread never is, and what follows is of another thread", []step{
			{1500, 200, exit, nil, false}, {1600, 200, chdir, nil, false}, {1600, 200, clone, result(0), false}}},
		{"an exec before the descriptors were read is", []step{
			{999, 100, execve, result(0), true}, {1500, 100, chdir, nil, true}}},
		{"an exec between descriptors and thread is not, nor what follows it in the process", []step{
			{1400, 100, chdir, nil, true}, {1500, 100, execve, result(0), false}, {1600, 100, chdir, nil, false},
			{1600, 101, chdir, nil, false}, {1600, 200, chdir, nil, true}}},
		{"an exec that failed changes nothing", []step{
			{1500, 100, execve, result(-2), true}, {1600, 100, chdir, nil, true}}},
		{"after the end of the snapshot nothing is", []step{
			{3000, 100, chdir, nil, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := testIncluded()
			for i, s := range tt.steps {
				if got := in.Includes(makeEvent(t, s.ts, s.tid, s.typ, s.values...)); got != s.want {
					t.Errorf("step %d, %s of %d at %d: %v", i+1, s.typ, s.tid, s.ts, got)
				}
			}
		})
	}
}

func BenchmarkIncludes(b *testing.B) {
	in := newIncluded()
	for i := range int64(1000) {
		in.addFDs(i, 1000)
		in.addThread(&event.ThreadInfo{TID: i, PID: i, VTID: i}, 2000)
	}
	in.end = 3000
	buf, err := event.Append(nil, 1500, 500, event.SYSCALL_CLOSE_X, int64(0))
	if err != nil {
		b.Fatal(err)
	}
	var ev event.Event
	if err := ev.Reset(buf); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if in.Includes(&ev) {
			b.Fatal("included")
		}
	}
}
