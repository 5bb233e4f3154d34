package field

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// changing are the types of events that change what is known of processes.
var changing = []event.Type{
	event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.SYSCALL_VFORK_20_X, event.SYSCALL_EXECVE_19_X, event.SYSCALL_EXECVEAT_X,
	event.PROCEXIT_1_E, event.SYSCALL_SETUID_X, event.SYSCALL_SETRESUID_X, event.SYSCALL_SETGID_X, event.SYSCALL_CAPSET_X,
	event.SYSCALL_UNSHARE_X, event.SYSCALL_SETNS_X, event.SYSCALL_PRCTL_X, event.SYSCALL_SETSID_X, event.SYSCALL_SETPGID_X,
	event.SYSCALL_CHDIR_X, event.SYSCALL_CHROOT_X, event.SYSCALL_GETCWD_X, event.SYSCALL_READ_X,
	event.USER_ADDED_E, event.USER_DELETED_E, event.GROUP_ADDED_E, event.GROUP_DELETED_E,
	event.CONTAINER_JSON_2_E, event.ASYNCEVENT_E,
}

// oneOf returns one of some values.
func oneOf[T any](rnd *rand.Rand, values ...T) T { return values[rnd.IntN(len(values))] }

// anyValue makes up a value that an event may well have in a parameter.
func anyValue(rnd *rand.Rand, info *event.Info, i int) any {
	const thread, files, inPidns, newUser = 1 << 13, 1 << 0, 1 << 29, 1 << 20 // of clone_flags
	const setName, setSubreaper = 15, 36                                      // of prctl_options
	p := &info.Params[i]
	container := oneOf(rnd, "a", "b", "c")
	switch {
	case p.Name == "flags" && p.Type.Size() >= 4:
		return oneOf(rnd, 0, 0, thread|files, inPidns, newUser)
	case p.Name == "option":
		return oneOf(rnd, setName, setName, setSubreaper)
	case p.Name == "arg2_str":
		return oneOf(rnd, "worker", "bash", "sshd")
	case p.Name == "cgroups":
		return []byte(oneOf(rnd, "cpu=/\x00", "cpu=/lxc/"+container+"\x00"))
	case p.Name == "container_id":
		return oneOf(rnd, "", container)
	case p.Name == "name" && info.Type == event.ASYNCEVENT_E:
		return oneOf(rnd, "container", "container", "container_removed")
	case p.Name == "json", p.Name == "data":
		return []byte(fmt.Sprintf(`{"id":%q,"type":1,"name":"n%d","image":"i%d:1","privileged":%v,"labels":{"io.kubernetes.pod.name":"p%d"},`+
			`"Healthcheck":{"exe":"bash","args":["one"]}}`, container, rnd.IntN(3), rnd.IntN(3), rnd.IntN(2) == 0, rnd.IntN(3)))
	case i == 0 && p.Type.Size() == 8 && rnd.IntN(3) > 0:
		return 0
	case p.Type == event.TypePID, p.Type == event.TypeErrno, p.Type == event.TypeFD:
		return rnd.IntN(12)
	case p.Type.Size() > 0:
		return rnd.IntN(4)
	case p.Type == event.TypeBytebuf:
		return []byte(oneOf(rnd, "one\x00", "one\x00two\x00", ""))
	}
	return oneOf(rnd, "/usr/bin/bash", "sshd", "/tmp", "sh")
}

// proc stands for /proc: half of the threads can be found there.
type proc struct{ rnd *rand.Rand }

func (p proc) Thread(tid int64) (*event.ThreadInfo, error) {
	if tid%2 == 0 {
		return nil, errors.New("there is none")
	}
	t := event.NewThreadInfo()
	t.TID, t.PID, t.PTID = tid, oneOf(p.rnd, tid, 1), int64(p.rnd.IntN(12))
	t.Comm, t.Cgroups = oneOf(p.rnd, "bash", "sshd"), []string{oneOf(p.rnd, "cpu=/", "cpu=/lxc/a")}
	return t, nil
}

func (proc) FD(_, _ int64) (event.FDInfo, error) { return event.FDInfo{}, errors.New("there is none") }

func (proc) Alive(tid int64) bool { return tid%2 == 1 }

// memory is what was read of a thread when it had a certain image.
type memory struct {
	image  uint64
	values string
}

// readAll prints all the fields for an event of a thread. Ancestors are told one by one.
func readAll(state *host.State, ev *event.Event, t *host.Thread, fields []*Field, values []Value) string {
	e := &host.Event{Event: ev, State: state, Thread: t, FDNum: -1}
	var b []byte
	for i, f := range fields {
		b = append(append(b, '\n'), f.Name...)
		if f.EachAncestor != nil {
			f.EachAncestor(e, &values[i], func() bool {
				b = AppendText(append(b, ' '), f, &values[i])
				return true
			})
		} else if f.Read(e, &values[i]) {
			b = AppendText(append(b, ' '), f, &values[i])
		}
	}
	return string(b)
}

// TestWhatIsRememberedOfAProcessHolds lets events happen at random and checks
// after each that no field of scope process has another value than before for
// any thread whose image is the same.
func TestWhatIsRememberedOfAProcessHolds(t *testing.T) {
	var fields []*Field
	for _, f := range everyField(t) {
		if f.Def.Scope == ScopeProcess {
			fields = append(fields, f)
		}
	}
	for _, name := range []string{"proc.aname[2]", "proc.acmdline[3]", "k8s.pod.name", "proc.ppid", "proc.pvpid", "proc.loginshellid"} {
		fields = append(fields, mustParse(t, name))
	}
	values := make([]Value, len(fields))
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		state := host.New(host.Options{MaxThreads: 10, MaxContainers: 2, Healer: proc{rnd}, HealRate: 2})
		state.Load(&event.Snapshot{Machine: event.Machine{BootTime: 500}, Live: seed%2 == 0})
		known := map[*host.Thread]memory{}
		var ev event.Event
		var he host.Event
		same := 0
		for n := range 1500 {
			info := oneOf(rnd, changing...).Info()
			params := make([]any, len(info.Params))
			for i := range params {
				params[i] = anyValue(rnd, info, i)
			}
			b, err := event.Append(nil, start+uint64(n)*1e8, int64(rnd.IntN(12)), info.Type, params...)
			if err == nil {
				err = ev.Reset(b)
			}
			if err != nil {
				t.Fatal(err)
			}
			state.Apply(&ev, &he)
			for th := range state.Threads() {
				now := memory{th.Image, readAll(state, &ev, th, fields, values)}
				if was, ok := known[th]; ok && was.image == now.image {
					if same++; was.values != now.values {
						t.Fatalf("seed %d, event %d (%s): the image of thread %d stays, but this:%s\nbecame this:%s",
							seed, n, info.Type, th.TID, was.values, now.values)
					}
				}
				known[th] = now
			}
		}
		if same < 1000 {
			t.Errorf("seed %d: only %d comparisons", seed, same)
		}
	}
}
