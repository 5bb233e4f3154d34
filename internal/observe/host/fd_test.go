package host

import (
	"slices"
	"testing"

	"rollcage/internal/observe/event"
)

func TestOpenAddsAFile(t *testing.T) {
	const rdonly = 1
	for name, tt := range map[string]struct {
		typ    event.Type
		values []any
		want   FD
	}{
		"open of an absolute path": {event.SYSCALL_OPEN_X, []any{7, "/etc/../etc/passwd", rdonly | flagCloexec, 0, 9, 10},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/etc/passwd", OpenFlags: rdonly | flagCloexec, Dev: 9, Ino: 10}, Raw: "/etc/../etc/passwd", CloseOnExec: true}},
		"open of a relative path": {event.SYSCALL_OPEN_X, []any{7, "./x//y/", rdonly, 0, nil, nil},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/root/x/y", OpenFlags: rdonly}, Raw: "./x//y/"}},
		"open of a directory": {event.SYSCALL_OPEN_X, []any{7, "/tmp", rdonly | flagDirectory, 0, nil, nil},
			FD{FDInfo: event.FDInfo{Type: event.FDDirectory, Name: "/tmp", OpenFlags: rdonly | flagDirectory}, Raw: "/tmp"}},
		"openat from the working directory": {event.SYSCALL_OPENAT_2_X, []any{7, AtCWD, "a", rdonly | flagCreated, 0, 1, 2},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/root/a", OpenFlags: rdonly | flagCreated, Dev: 1, Ino: 2}, Raw: "a", Created: true}},
		"openat from a descriptor": {event.SYSCALL_OPENAT_2_X, []any{7, 3, "a/../../b", rdonly | flagUpperLayer, 0, 1, 2},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/srv/b", OpenFlags: rdonly | flagUpperLayer, Dev: 1, Ino: 2}, Raw: "a/../../b", UpperLayer: true}},
		"openat of an absolute path from anywhere": {event.SYSCALL_OPENAT_2_X, []any{7, 99, "/a", rdonly | flagLowerLayer, 0, 1, 2},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/a", OpenFlags: rdonly | flagLowerLayer, Dev: 1, Ino: 2}, Raw: "/a", LowerLayer: true}},
		"openat from an unknown descriptor": {event.SYSCALL_OPENAT_2_X, []any{7, 99, "a", rdonly, 0, 1, 2},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "<UNKNOWN>/a", OpenFlags: rdonly, Dev: 1, Ino: 2}, Raw: "a"}},
		"openat2": {event.SYSCALL_OPENAT2_X, []any{7, 3, "a", rdonly, 0, 0, 1, 2},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/srv/data/a", OpenFlags: rdonly, Dev: 1, Ino: 2}, Raw: "a"}},
		"creat with the layer in flags of its own": {event.SYSCALL_CREAT_X, []any{7, "a", 0, 1, 2, 1},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/root/a", OpenFlags: flagUpperLayer, Dev: 1, Ino: 2}, Raw: "a", UpperLayer: true}},
		"open_by_handle_at is resolved already": {event.SYSCALL_OPEN_BY_HANDLE_AT_X, []any{7, 3, rdonly, "/x/y", 1, 2},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/x/y", OpenFlags: rdonly, Dev: 1, Ino: 2}, Raw: "/x/y"}},
		"a path with control characters is cleaned": {event.SYSCALL_OPEN_X, []any{7, "/tmp/a\nb", rdonly, 0, nil, nil},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, Name: "/tmp/a\ufffdb", OpenFlags: rdonly}, Raw: "/tmp/a\nb"}},
		"an unknown path": {event.SYSCALL_OPEN_X, []any{7, nil, rdonly, 0, nil, nil},
			FD{FDInfo: event.FDInfo{Type: event.FDFileV2, OpenFlags: rdonly}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			he := r.do(100, tt.typ, tt.values...)
			tt.want.Num, tt.want.refs = 7, 1
			if he.FD == nil || *he.FD != tt.want || he.FDNum != 7 || he.FD != r.fd(100, 7) {
				t.Errorf("got  %+v\nwant %+v, number %d", he.FD, tt.want, he.FDNum)
			}
			if he.NameChanged != (tt.want.Name != "") || he.OldName != "" {
				t.Errorf("name changed %v from %q", he.NameChanged, he.OldName)
			}
		})
	}
}

func TestOpenThatFailsAddsNothing(t *testing.T) {
	r := newRun(t, Options{})
	he := r.do(100, event.SYSCALL_OPENAT_2_X, -2, AtCWD, "nope", 1, 0, 0, 0)
	if he.FD != nil || he.FDNum != -1 || he.NameChanged || r.need(100).FDs.Len() != 3 {
		t.Errorf("descriptor %+v, number %d, %d open", he.FD, he.FDNum, r.need(100).FDs.Len())
	}
}

func TestEnterEventsFillOldExitEvents(t *testing.T) {
	t.Run("open has the name that the program passed first", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(100, event.SYSCALL_OPEN_E, "/etc/shadow", 1, 0)
		he := r.do(100, event.SYSCALL_OPEN_X, 7, "/tmp/innocent", flagCreated|2, 0, nil, nil)
		if he.FD.Name != "/etc/shadow" || he.FD.OpenFlags != flagCreated|1 {
			t.Errorf("name %q, flags %#x", he.FD.Name, he.FD.OpenFlags)
		}
	})
	t.Run("openat takes directory and name", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(100, event.SYSCALL_OPENAT_2_E, 3, "x", 1, 0)
		if he := r.do(100, event.SYSCALL_OPENAT_2_X, 7, nil, nil, nil, nil, nil, nil); he.FD.Name != "/srv/data/x" {
			t.Errorf("name %q", he.FD.Name)
		}
	})
	t.Run("an event between the two makes it worthless", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(100, event.SYSCALL_OPEN_E, "/etc/shadow", 1, 0)
		r.do(100, event.SYSCALL_READ_X, 0, nil, 3, 1)
		if he := r.do(100, event.SYSCALL_OPEN_X, 7, "/tmp/x", 1, 0, nil, nil); he.FD.Name != "/tmp/x" {
			t.Errorf("name %q", he.FD.Name)
		}
	})
	t.Run("the path of an exec", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(100, event.SYSCALL_EXECVE_19_E, "bin/tool")
		he := r.do(100, event.SYSCALL_EXECVE_19_X, 0, "tool", nil, 100, 100, 1, "", 10)
		if he.Thread.ExePath != "/root/bin/tool" || he.Thread.Comm != "tool" {
			t.Errorf("path %q, comm %q", he.Thread.ExePath, he.Thread.Comm)
		}
	})
	t.Run("an execveat that succeeds ends as execve", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(100, event.SYSCALL_EXECVEAT_E, 3, nil, 1)
		he := r.do(100, event.SYSCALL_EXECVE_19_X, 0, "tool", nil, 100, 100, 1, "", 10)
		if he.Thread.ExePath != "/srv/data" {
			t.Errorf("path %q", he.Thread.ExePath)
		}
	})
	t.Run("hidden events are not measured from", func(t *testing.T) {
		r := newRun(t, Options{})
		he := r.do(100, event.SYSCALL_READ_X, 0, nil, 3, 1)
		first := he.Time()
		r.ev.Hidden = true
		r.do(100, event.SYSCALL_OPEN_E, "/x", 1, 0)
		r.ev.Hidden = false
		if he = r.do(100, event.SYSCALL_READ_X, 0, nil, 3, 1); he.Prev != first || he.First != first {
			t.Errorf("previous %d, first %d, want %d", he.Prev, he.First, first)
		}
	})
}

func TestCloseFreesTheNumber(t *testing.T) {
	for name, tt := range map[string]struct {
		res  int
		gone bool
	}{"success": {0, true}, "EINTR frees it all the same": {-4, true}, "EBADF does not": {-9, false}} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			he := r.do(100, event.SYSCALL_CLOSE_X, tt.res, 3)
			if he.FD == nil || he.FD.Name != "/srv/data" || he.FDNum != 3 {
				t.Errorf("the event must see what it closed: %+v", he.FD)
			}
			if gone := r.need(100).FDs.Get(3) == nil; gone != tt.gone {
				t.Errorf("gone %v", gone)
			}
		})
	}
}

func TestCloseRange(t *testing.T) {
	for name, tt := range map[string]struct {
		first, last, flags int
		open, cloexec      []int64
	}{
		"closes a range":             {3, 1 << 31, 0, []int64{0}, nil},
		"marks a range":              {0, 3, 4, []int64{0, 3, 4}, []int64{0, 3, 4}},
		"closes nothing outside":     {5, 9, 0, []int64{0, 3, 4}, []int64{4}},
		"parts from others":          {0, 9, 2, nil, nil},
		"an empty range does nothin": {4, 3, 0, []int64{0, 3, 4}, []int64{4}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			r.do(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, flags: cloneFiles}.values()...)
			r.do(100, event.SYSCALL_CLOSE_RANGE_X, 0, tt.first, tt.last, tt.flags)
			var open, cloexec []int64
			for n, fd := range r.need(100).FDs.All() {
				open = append(open, n)
				if fd.CloseOnExec {
					cloexec = append(cloexec, n)
				}
			}
			if !slices.Equal(open, tt.open) || !slices.Equal(cloexec, tt.cloexec) {
				t.Errorf("open %v, close-on-exec %v", open, cloexec)
			}
			if other := r.need(300).FDs.Len(); tt.flags == 2 && other != 3 {
				t.Errorf("the other process has %d", other)
			}
		})
	}
}

func TestDupCopiesADescriptor(t *testing.T) {
	for name, tt := range map[string]struct {
		typ     event.Type
		values  []any
		cloexec bool
	}{
		"dup":                   {event.SYSCALL_DUP_1_X, []any{9, 4}, false},
		"dup2":                  {event.SYSCALL_DUP2_X, []any{9, 4, 9}, false},
		"dup3":                  {event.SYSCALL_DUP3_X, []any{9, 4, 9, 0}, false},
		"dup3 with O_CLOEXEC":   {event.SYSCALL_DUP3_X, []any{9, 4, 9, flagCloexec}, true},
		"fcntl F_DUPFD":         {event.SYSCALL_FCNTL_X, []any{9, 4, 1, 0}, false},
		"fcntl F_DUPFD_CLOEXEC": {event.SYSCALL_FCNTL_X, []any{9, 4, 26, 0}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			he := r.do(100, tt.typ, tt.values...)
			if he.FDNum != 9 || he.FD != r.fd(100, 9) || he.FD.Name != "/root/log" || he.FD.CloseOnExec != tt.cloexec || he.NameChanged {
				t.Errorf("number %d, %+v", he.FDNum, he.FD)
			}
			if old := r.fd(100, 4); old.Num != 4 || !old.CloseOnExec {
				t.Errorf("the original changed: %+v", old)
			}
		})
	}
	t.Run("dup2 onto itself does nothing", func(t *testing.T) {
		r := newRun(t, Options{})
		if he := r.do(100, event.SYSCALL_DUP2_X, 4, 4, 4); he.FD == nil || !he.FD.CloseOnExec {
			t.Errorf("%+v", he.FD)
		}
	})
	t.Run("dup2 of an unknown one closes the target", func(t *testing.T) {
		r := newRun(t, Options{})
		if r.do(100, event.SYSCALL_DUP2_X, 4, 77, 4); r.need(100).FDs.Get(4) != nil {
			t.Error("still there")
		}
	})
	t.Run("fcntl F_SETFD concerns one process", func(t *testing.T) {
		r := newRun(t, Options{})
		r.fork(100, 300)
		if he := r.do(300, event.SYSCALL_FCNTL_X, 0, 3, 3, 1); !he.FD.CloseOnExec || r.fd(100, 3).CloseOnExec {
			t.Error("the parent's descriptor changed, or the child's did not")
		}
	})
}

func TestDescriptorsWithoutAPath(t *testing.T) {
	type want struct {
		typ     event.FDType
		name    string
		cloexec bool
	}
	for name, tt := range map[string]struct {
		typ    event.Type
		values []any
		want   want
	}{
		"eventfd":           {event.SYSCALL_EVENTFD_X, []any{7, 0, 0}, want{typ: event.FDEvent}},
		"eventfd2":          {event.SYSCALL_EVENTFD2_X, []any{7, flagCloexec, 0}, want{event.FDEvent, "", true}},
		"signalfd":          {event.SYSCALL_SIGNALFD_X, []any{7, -1, 0, 0}, want{typ: event.FDSignal}},
		"signalfd4":         {event.SYSCALL_SIGNALFD4_X, []any{7, flagCloexec, -1, 0}, want{event.FDSignal, "", true}},
		"timerfd_create":    {event.SYSCALL_TIMERFD_CREATE_X, []any{7, 0, 0}, want{typ: event.FDTimer}},
		"inotify_init":      {event.SYSCALL_INOTIFY_INIT_X, []any{7, 0}, want{typ: event.FDInotify}},
		"inotify_init1":     {event.SYSCALL_INOTIFY_INIT1_X, []any{7, flagCloexec}, want{event.FDInotify, "", true}},
		"epoll_create":      {event.SYSCALL_EPOLL_CREATE_X, []any{7, 1}, want{typ: event.FDEventPoll}},
		"epoll_create1":     {event.SYSCALL_EPOLL_CREATE1_X, []any{7, 1}, want{event.FDEventPoll, "", true}},
		"userfaultfd":       {event.SYSCALL_USERFAULTFD_X, []any{7, 0}, want{typ: event.FDUserfault}},
		"io_uring_setup":    {event.SYSCALL_IO_URING_SETUP_X, []any{7, 1}, want{event.FDIOUring, "", true}},
		"bpf map":           {event.SYSCALL_BPF_2_X, []any{7, 0}, want{event.FDBPF, "", true}},
		"memfd_create":      {event.SYSCALL_MEMFD_CREATE_X, []any{7, "payload", 1}, want{event.FDMemfd, "payload", true}},
		"pidfd_open":        {event.SYSCALL_PIDFD_OPEN_X, []any{7, 200, 0}, want{event.FDPidfd, "/proc/200", true}},
		"socket unix":       {event.SOCKET_SOCKET_X, []any{7, 1, 1 | sockCloexec, 0, 0}, want{event.FDUnix, "", true}},
		"socket inet":       {event.SOCKET_SOCKET_X, []any{7, 2, 1, 0, nil}, want{typ: event.FDIPv4}},
		"socket inet6":      {event.SOCKET_SOCKET_X, []any{7, 10, 2, 17, flagCloexec}, want{event.FDIPv6, "", true}},
		"socket netlink":    {event.SOCKET_SOCKET_X, []any{7, 16, 3, 0, 0}, want{typ: event.FDNetlink}},
		"socket packet":     {event.SOCKET_SOCKET_X, []any{7, 17, 3, 0, 0}, want{typ: event.FDUnknown}},
		"pipe2, its second": {event.SYSCALL_PIPE2_X, []any{0, 6, 7, 4711, flagCloexec}, want{event.FDPipe, "", true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			he := r.do(100, tt.typ, tt.values...)
			if he.FD == nil || (want{he.FD.Type, he.FD.Name, he.FD.CloseOnExec}) != tt.want || he.FDNum != 7 || r.fd(100, 7) != he.FD {
				t.Errorf("number %d: %+v, want %+v", he.FDNum, he.FD, tt.want)
			}
		})
	}
	t.Run("both ends of a pipe have its inode", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(100, event.SYSCALL_PIPE_X, 0, 6, 7, 4711)
		if a, b := r.fd(100, 6), r.fd(100, 7); a.Ino != 4711 || b.Ino != 4711 || a.Type != event.FDPipe {
			t.Errorf("%+v %+v", a, b)
		}
	})
	t.Run("a bpf command that makes none", func(t *testing.T) {
		r := newRun(t, Options{})
		if he := r.do(100, event.SYSCALL_BPF_2_X, 0, 1); he.FD != nil || r.fd(100, 0).Type != event.FDFileV2 {
			t.Errorf("%+v", he.FD)
		}
	})
	t.Run("pidfd_getfd copies from the other process", func(t *testing.T) {
		r := newRun(t, Options{})
		r.do(200, event.SYSCALL_PIDFD_OPEN_X, 7, 100, 0)
		he := r.do(200, event.SYSCALL_PIDFD_GETFD_X, 8, 7, 3, 0)
		if he.FD == nil || he.FD.Name != "/srv/data" || he.FDNum != 8 || r.fd(100, 3).Num != 3 {
			t.Errorf("%+v", he.FD)
		}
	})
}

func TestUsedDescriptorIsTheEvents(t *testing.T) {
	for name, tt := range map[string]struct {
		typ    event.Type
		values []any
		num    int64
	}{
		"read":            {event.SYSCALL_READ_X, []any{5, []byte("hello"), 3, 5}, 3},
		"sendfile's out":  {event.SYSCALL_SENDFILE_X, []any{5, 0, 3, 4, 5}, 3},
		"splice's out":    {event.SYSCALL_SPLICE_X, []any{5, 4, 3, 5, 0}, 3},
		"copy_file_range": {event.SYSCALL_COPY_FILE_RANGE_X, []any{5, 4, 0, 3, 0, 5}, 3},
		"mmap":            {event.SYSCALL_MMAP_X, []any{0, 1, 1, 1, 0, 1, 1, 1, 3, 0}, 3},
		"unlinkat's dir":  {event.SYSCALL_UNLINKAT_2_X, []any{0, 3, "x", 0}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			if he := r.do(100, tt.typ, tt.values...); he.FDNum != tt.num || he.FD != r.fd(100, tt.num) {
				t.Errorf("number %d, %+v", he.FDNum, he.FD)
			}
		})
	}
}

func TestDescriptorTableOrder(t *testing.T) {
	r := newRun(t, Options{})
	for _, n := range []int{1 << 40, 70, 5000, 100, 64} {
		r.do(100, event.SYSCALL_OPEN_X, n, "/x", 1, 0, 0, 0)
	}
	for n := 10; n < 60; n++ {
		r.do(100, event.SYSCALL_OPEN_X, n, "/x", 1, 0, 0, 0)
	}
	r.do(100, event.SYSCALL_OPEN_X, 101, "/x", 1, 0, 0, 0)
	var nums []int64
	for n, fd := range r.need(100).FDs.All() {
		if fd.Num != n {
			t.Errorf("descriptor %d is at %d", fd.Num, n)
		}
		nums = append(nums, n)
	}
	if !slices.IsSorted(nums) || len(nums) != 59 || len(nums) != r.need(100).FDs.Len() {
		t.Errorf("%d descriptors: %v", len(nums), nums)
	}
	r.do(100, event.SYSCALL_CLOSE_X, 0, 70)
	if r.need(100).FDs.Get(70) != nil || r.need(100).FDs.Get(1<<40) == nil || r.need(100).FDs.Get(-1) != nil {
		t.Error("look-up after close")
	}
}

func TestJoinedPaths(t *testing.T) {
	for _, tt := range []struct{ base, path, want string }{
		{"/a", "b", "/a/b"},
		{"/a/", "b/", "/a/b"},
		{"/a", "/b", "/b"},
		{"/", "b", "/b"},
		{"/a", "", "/a"},
		{"/a", ".", "/a"},
		{"/a", "..", "/"},
		{"/a", "../..", "/"},
		{"/a/b", "../c", "/a/c"},
		{"", "a/./b", "a/b"},
		{"", "../a", "a"},
		{"", "", ""},
		{"", "/", "/"},
		{"/a", "//b///c//", "/b/c"},
		{"<UNKNOWN>", "a", "<UNKNOWN>/a"},
	} {
		if got := string(AppendPath([]byte("x"), tt.base, tt.path)); got != "x"+tt.want {
			t.Errorf("%q from %q: %q, want %q", tt.path, tt.base, got[1:], tt.want)
		}
	}
}
