package proctree

import (
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// life runs events through a state and a tree.
type life struct {
	*testing.T
	state *host.State
	tree  *Tree
	now   uint64
}

func newLife(t *testing.T) *life {
	init := event.NewThreadInfo()
	init.TID, init.PID, init.VPID, init.Comm, init.ExePath, init.StartTime = 1, 1, 1, "init", "/sbin/init", 5
	shell := event.NewThreadInfo()
	shell.TID, shell.PID, shell.PTID, shell.Comm, shell.Exe, shell.ExePath, shell.UID = 100, 100, 1, "bash", "-bash", "/usr/bin/bash", 1000
	l := &life{T: t, state: host.New(host.Options{}), tree: New(), now: 1e9}
	l.state.Load(&event.Snapshot{Threads: []*event.ThreadInfo{init, shell}, Users: []event.User{{UID: 0, Name: "root"}, {UID: 1000, Name: "anna"}}})
	l.tree.Load(l.state)
	return l
}

func (l *life) do(tid int64, typ event.Type, values ...any) {
	l.Helper()
	l.now += 1000
	b, err := event.Append(nil, l.now, tid, typ, values...)
	if err != nil {
		l.Fatal(err)
	}
	var ev event.Event
	if err := ev.Reset(b); err != nil {
		l.Fatal(err)
	}
	var he host.Event
	l.state.Apply(&ev, &he)
	l.tree.Add(&he)
}

// clone makes both events of a fork: parameters are res, exe, args, tid, pid, ptid, cwd …
func (l *life) clone(parent, child int64) {
	l.do(child, event.SYSCALL_CLONE_20_X, 0, "bash", nil, child, child, parent, "/")
	l.do(parent, event.SYSCALL_CLONE_20_X, child, "bash", nil, parent, parent, 1, "/")
}

func (l *life) exec(tid int64, exe string, args string, uid uint32) {
	info := event.SYSCALL_EXECVE_19_X.Info()
	values := make([]any, len(info.Params))
	for i, p := range info.Params {
		switch p.Name {
		case "res":
			values[i] = 0
		case "exe", "trusted_exepath", "comm":
			values[i] = exe
		case "args":
			values[i] = args
		case "tid", "pid":
			values[i] = tid
		case "uid":
			values[i] = uid
		}
	}
	l.do(tid, event.SYSCALL_EXECVE_19_X, values...)
}

func TestATreeTellsALife(t *testing.T) {
	l := newLife(t)
	l.clone(100, 300)
	l.exec(300, "/usr/bin/curl", "-s\x00http://example\x00", 0)
	l.do(300, event.SYSCALL_READ_X, 7, []byte("welcome"), 3, 100)
	l.do(300, event.SYSCALL_OPEN_X, -2, "/none", 0, 0, 0, 0)
	l.do(300, event.PROCEXIT_1_E, 0, 3, 0, 0, 0)
	l.clone(100, 300) // the number is used again
	l.do(300, event.PROCEXIT_1_E, 0, 0, 9, 0, 0)

	ps := l.tree.Processes
	if len(ps) != 4 {
		t.Fatalf("%d processes, want 4", len(ps))
	}
	init, shell, curl, again := ps[0], ps[1], ps[2], ps[3]
	if init.Parent != -1 || shell.Parent != init.ID || curl.Parent != shell.ID || again.Parent != shell.ID {
		t.Errorf("parents %d %d %d %d", init.Parent, shell.Parent, curl.Parent, again.Parent)
	}
	if init.Start != 5 || init.Born || shell.Images[0].User != "anna" || shell.End != 0 {
		t.Errorf("what was there before: %+v, %+v", init, shell)
	}
	if !curl.Born || curl.Start == 0 || curl.End <= curl.Start || curl.Exit != "3" {
		t.Errorf("start and end: %+v", curl)
	}
	if n := len(curl.Images); n != 2 || !curl.Images[1].Exec || curl.Images[1].Exe != "/usr/bin/curl" || len(curl.Images[1].Args) != 3 || curl.Images[1].User != "root" {
		t.Errorf("programs: %+v", curl.Images)
	}
	if curl.Read != 7 || curl.Errors != 1 || curl.Events != 5 {
		t.Errorf("counts: %+v", curl)
	}
	if again.Exit != "SIGKILL" || again.PID != 300 {
		t.Errorf("the second of that number: %+v", again)
	}
}

func TestTheUserAndTheNameOfTheContainerAreThoseThatFieldsTell(t *testing.T) {
	l := newLife(t)
	// A thread of a process whose main one is not known: res, exe, args, tid, pid, ptid, cwd, fdlimit, pgft_maj, pgft_min,
	// vm_size, vm_rss, vm_swap, comm, cgroups, flags, uid.
	l.do(843, event.SYSCALL_CLONE_20_X, 0, "curl", nil, 843, 842, 774, "/", 0, 0, 0, 0, 0, 0, "curl", nil, 1<<1, 1000)
	l.do(843, event.SYSCALL_READ_X, 7, []byte("welcome"), 3, 100)
	curl := l.tree.Processes[len(l.tree.Processes)-1]
	if curl.PID != 842 || len(curl.Images) != 1 || curl.Images[0].UID != 1000 || curl.Images[0].User != "anna" {
		t.Errorf("the user of the thread: %+v", curl)
	}
	const id = "3ad7b26ded6d8e7b23da7d48fe889434573036c27ae5a74837233de441c3601e"
	l.do(400, event.SYSCALL_CLONE_20_X, 0, "web", nil, 400, 400, 1, "/", 0, 0, 0, 0, 0, 0, "web", "cpuset=/docker/"+id+"\x00", 0, 0)
	l.do(-1, event.CONTAINER_JSON_2_E, `{"container":{"id":"`+id[:12]+`","full_id":"`+id+`","name":"shop_web_1","type":0,"image":"shop"}}`)
	l.do(400, event.SYSCALL_READ_X, 7, []byte("welcome"), 3, 100)
	if web := l.tree.Processes[len(l.tree.Processes)-1]; web.Container != id[:12] || web.ContainerName != "shop_web_1" {
		t.Errorf("the container: %+v", web)
	}
}
