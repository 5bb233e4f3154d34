package host

import (
	"testing"

	"rollcage/internal/observe/event"
)

// benchEvents applies the given events over and over.
func benchEvents(b *testing.B, build func(add func(tid int64, typ event.Type, values ...any))) {
	var raw [][]byte
	now := 1000 * second
	build(func(tid int64, typ event.Type, values ...any) {
		now++
		e, err := event.Append(nil, now, tid, typ, values...)
		if err != nil {
			b.Fatal(err)
		}
		raw = append(raw, e)
	})
	s := New(Options{})
	s.Load(smallHost())
	var ev event.Event
	var he Event
	apply := func() {
		for _, e := range raw {
			if err := ev.Reset(e); err != nil {
				b.Fatal(err)
			}
			s.Apply(&ev, &he)
		}
	}
	apply() // tables and buffers grow to what they need
	apply()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		apply()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(raw)), "ns/event")
}

type adder = func(tid int64, typ event.Type, values ...any)

func BenchmarkApplyOpenClose(b *testing.B) {
	benchEvents(b, func(add adder) {
		add(100, event.SYSCALL_OPENAT_2_X, 7, AtCWD, "some/./file", 1|flagCloexec, 0, 1, 2)
		add(100, event.SYSCALL_CLOSE_X, 0, 7)
	})
}

func BenchmarkApplyRead(b *testing.B) {
	benchEvents(b, func(add adder) {
		add(100, event.SYSCALL_READ_X, 5, []byte("hello"), 3, 5)
	})
}

func BenchmarkApplyConnect(b *testing.B) {
	benchEvents(b, func(add adder) {
		add(100, event.SOCKET_SOCKET_X, 7, 2, tcp|sockCloexec, 0, 0)
		add(100, event.SOCKET_CONNECT_X, inProgress, tuple(local4, remote4), 7, sockaddr(remote4))
		add(100, event.SYSCALL_WRITE_X, 5, []byte("hello"), 7, 5)
		add(100, event.SYSCALL_CLOSE_X, 0, 7)
	})
}

func BenchmarkApplyDatagram(b *testing.B) {
	benchEvents(b, func(add adder) {
		add(100, event.SOCKET_SOCKET_X, 7, 2, udp, 0, 0)
		for range 8 {
			add(100, event.SOCKET_SENDTO_X, 1, []byte("x"), 7, 1, tuple(local4, remote4))
			add(100, event.SOCKET_RECVFROM_X, 1, []byte("x"), tuple(remote4, local4), 7, 1)
		}
		add(100, event.SYSCALL_CLOSE_X, 0, 7)
	})
}

func BenchmarkApplyFork(b *testing.B) {
	benchEvents(b, func(add adder) {
		add(100, event.SYSCALL_CLONE_20_X, forked{res: 300, tid: 100, pid: 100, args: list("-l"), cgroups: "memory=/"}.values()...)
		add(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, args: list("-l"), cgroups: "memory=/"}.values()...)
		add(300, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	})
}

func BenchmarkApplyForkExec(b *testing.B) {
	benchEvents(b, func(add adder) {
		add(100, event.SYSCALL_CLONE_20_X, forked{res: 300, tid: 100, pid: 100, args: list("-l"), cgroups: "memory=/"}.values()...)
		add(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, args: list("-l"), cgroups: "memory=/"}.values()...)
		add(300, event.SYSCALL_EXECVE_19_X, 0, "/usr/bin/ls", list("-l", "/tmp"), 300, 300, 100, "", 1024, 1, 2, 3, 4, 5, "ls",
			list("memory=/"), list("PATH=/bin", "HOME=/root"), 34816, 300, 1000, 0, 0, 7, 7, 42, 10, 11, 0, "/usr/bin/ls", 300, 0, "/usr/bin/ls")
		add(300, event.SYSCALL_OPENAT_2_X, 3, AtCWD, "/etc/ld.so.cache", 1|flagCloexec, 0, 1, 2)
		add(300, event.SYSCALL_CLOSE_X, 0, 3)
		add(300, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	})
}

// TestSteadyStateDoesNotAllocate holds what the benchmarks show.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for name, build := range map[string]func(adder){
		"open and close": func(add adder) {
			add(100, event.SYSCALL_OPENAT_2_X, 7, AtCWD, "some/./file", 1|flagCloexec, 0, 1, 2)
			add(100, event.SYSCALL_CLOSE_X, 0, 7)
		},
		"read and write": func(add adder) {
			add(100, event.SYSCALL_READ_X, 5, []byte("hello"), 3, 5)
			add(100, event.SYSCALL_WRITE_X, 5, []byte("hello"), 3, 5)
		},
		"dup": func(add adder) {
			add(100, event.SYSCALL_DUP2_X, 9, 3, 9)
			add(100, event.SYSCALL_FCNTL_X, 0, 9, 3, 1)
		},
		"connect and send": func(add adder) {
			add(100, event.SOCKET_SOCKET_X, 7, 2, tcp, 0, 0)
			add(100, event.SOCKET_CONNECT_X, inProgress, tuple(local4, remote4), 7, sockaddr(remote4))
			add(100, event.SOCKET_SENDTO_X, 5, []byte("hello"), 7, 5, tuple(local4, remote4))
			add(100, event.SYSCALL_CLOSE_X, 0, 7)
		},
		"accept": func(add adder) {
			add(100, event.SOCKET_ACCEPT4_6_X, 8, tuple("1.2.3.4:555", "10.0.0.5:80"), 0, 0, 5, 0)
			add(100, event.SYSCALL_CLOSE_X, 0, 8)
		},
		"datagrams": func(add adder) {
			add(100, event.SOCKET_SOCKET_X, 7, 2, udp, 0, 0)
			add(100, event.SOCKET_SENDTO_X, 1, []byte("x"), 7, 1, tuple("0.0.0.0:1", remote4))
			add(100, event.SOCKET_RECVFROM_X, 1, []byte("x"), tuple(remote4, "0.0.0.0:1"), 7, 1)
			add(100, event.SYSCALL_CLOSE_X, 0, 7)
		},
		"unix messages": func(add adder) {
			add(100, event.SOCKET_SOCKET_X, 7, 1, tcp, 0, 0)
			add(100, event.SOCKET_RECVMSG_X, 1, 1, []byte("x"), unixTuple(1, 2, "/run/s"), nil, 7)
			add(100, event.SYSCALL_CLOSE_X, 0, 7)
		},
		"pipe and epoll": func(add adder) {
			add(100, event.SYSCALL_PIPE2_X, 0, 7, 8, 4711, 0)
			add(100, event.SYSCALL_EPOLL_CREATE1_X, 9, 1)
			add(100, event.SYSCALL_CLOSE_X, 0, 7)
			add(100, event.SYSCALL_CLOSE_X, 0, 8)
			add(100, event.SYSCALL_CLOSE_X, 0, 9)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			var raw [][]byte
			build(func(tid int64, typ event.Type, values ...any) {
				r.now++
				e, err := event.Append(nil, r.now, tid, typ, values...)
				if err != nil {
					t.Fatal(err)
				}
				raw = append(raw, e)
			})
			got := testing.AllocsPerRun(100, func() {
				for _, e := range raw {
					if r.ev.Reset(e) == nil {
						r.Apply(&r.ev, &r.he)
					}
				}
			})
			if got != 0 {
				t.Errorf("%v allocations", got)
			}
		})
	}
}
