package host

import (
	"rollcage/internal/observe/event"
)

// subject says whose thread an event of a type is about.
type subject uint8

const (
	subjectThread subject = iota // the event's thread; one that is missing is healed
	subjectKnown                 // the event's thread if it is known
	subjectNone                  // nobody's
)

// action says what an event of a type does to the state.
type action struct {
	apply   func(*State, *Event) // nil if nothing beyond what its flags say
	subject subject
	fd      int8 // parameter with the descriptor that the event uses, -1 if none
	flags   event.Flags
}

// actions holds the action of each event type.
var actions = makeActions()

// applies is what each event type does; types that are not here change nothing.
var applies = map[event.Type]func(*State, *Event){
	event.SYSCALL_CLONE_20_X:  (*State).applyClone,
	event.SYSCALL_FORK_20_X:   (*State).applyClone,
	event.SYSCALL_VFORK_20_X:  (*State).applyVfork,
	event.SYSCALL_CLONE3_X:    (*State).applyClone,
	event.SYSCALL_EXECVE_19_X: (*State).applyExec,
	event.SYSCALL_EXECVEAT_X:  (*State).applyExec,
	event.PROCEXIT_1_E:        (*State).applyExit,

	event.SYSCALL_SETUID_X:    setUID(1),
	event.SYSCALL_SETREUID_X:  setUID(2),
	event.SYSCALL_SETRESUID_X: setUID(2),
	event.SYSCALL_SETGID_X:    setGID(1),
	event.SYSCALL_SETREGID_X:  setGID(2),
	event.SYSCALL_SETRESGID_X: setGID(2),
	event.SYSCALL_CAPSET_X:    (*State).applyCapset,
	event.SYSCALL_UNSHARE_X:   namespaces(1),
	event.SYSCALL_SETNS_X:     namespaces(2),
	event.SYSCALL_PRCTL_X:     (*State).applyPrctl,
	event.SYSCALL_SETSID_X:    (*State).applySetsid,
	event.SYSCALL_SETPGID_X:   (*State).applySetpgid,
	event.SYSCALL_CHDIR_X:     (*State).applyChdir,
	event.SYSCALL_FCHDIR_X:    (*State).applyFchdir,
	event.SYSCALL_GETCWD_X:    (*State).applyChdir,
	event.SYSCALL_CHROOT_X:    (*State).applyChroot,
	event.SYSCALL_SETRLIMIT_X: limit(1, 3, -1),
	event.SYSCALL_GETRLIMIT_X: limit(1, 3, -1),
	event.SYSCALL_PRLIMIT_X:   limit(1, 6, 5),
	event.GENERIC_X:           (*State).applyGeneric,

	event.SYSCALL_BRK_4_X:  memory(1),
	event.SYSCALL_MMAP_X:   memory(1),
	event.SYSCALL_MMAP2_X:  memory(1),
	event.SYSCALL_MUNMAP_X: memory(1),
	event.SCHEDSWITCH_6_E:  (*State).applySwitch,

	event.SYSCALL_OPEN_X:              (*State).applyOpen,
	event.SYSCALL_CREAT_X:             (*State).applyOpen,
	event.SYSCALL_OPENAT_2_X:          (*State).applyOpen,
	event.SYSCALL_OPENAT2_X:           (*State).applyOpen,
	event.SYSCALL_OPEN_BY_HANDLE_AT_X: (*State).applyOpen,

	event.SYSCALL_OPEN_E:      (*State).storeEnter,
	event.SYSCALL_CREAT_E:     (*State).storeEnter,
	event.SYSCALL_OPENAT_2_E:  (*State).storeEnter,
	event.SYSCALL_OPENAT2_E:   (*State).storeEnter,
	event.SOCKET_CONNECT_E:    (*State).storeEnter,
	event.SYSCALL_EXECVE_19_E: (*State).storeEnter,
	event.SYSCALL_EXECVEAT_E:  (*State).storeEnter,

	event.SYSCALL_CLOSE_X:       (*State).applyClose,
	event.SYSCALL_CLOSE_RANGE_X: (*State).applyCloseRange,
	event.SYSCALL_DUP_1_X:       (*State).applyDup,
	event.SYSCALL_DUP2_X:        (*State).applyDup,
	event.SYSCALL_DUP3_X:        (*State).applyDup,
	event.SYSCALL_FCNTL_X:       (*State).applyFcntl,
	event.SYSCALL_PIPE_X:        (*State).applyPipe,
	event.SYSCALL_PIPE2_X:       (*State).applyPipe,

	event.SYSCALL_EVENTFD_X:        anonymous(event.FDEvent, -1, 0),
	event.SYSCALL_EVENTFD2_X:       anonymous(event.FDEvent, 1, flagCloexec),
	event.SYSCALL_SIGNALFD_X:       anonymous(event.FDSignal, -1, 0),
	event.SYSCALL_SIGNALFD4_X:      anonymous(event.FDSignal, 1, flagCloexec),
	event.SYSCALL_TIMERFD_CREATE_X: anonymous(event.FDTimer, -1, 0),
	event.SYSCALL_INOTIFY_INIT_X:   anonymous(event.FDInotify, -1, 0),
	event.SYSCALL_INOTIFY_INIT1_X:  anonymous(event.FDInotify, 1, flagCloexec),
	event.SYSCALL_EPOLL_CREATE_X:   anonymous(event.FDEventPoll, -1, 0),
	event.SYSCALL_EPOLL_CREATE1_X:  anonymous(event.FDEventPoll, 1, 1),
	event.SYSCALL_USERFAULTFD_X:    anonymous(event.FDUserfault, 1, flagCloexec),
	event.SYSCALL_IO_URING_SETUP_X: anonymous(event.FDIOUring, -1, alwaysCloexec),
	event.SYSCALL_BPF_2_X:          (*State).applyBPF,
	event.SYSCALL_MEMFD_CREATE_X:   (*State).applyMemfd,
	event.SYSCALL_PIDFD_OPEN_X:     (*State).applyPidfdOpen,
	event.SYSCALL_PIDFD_GETFD_X:    (*State).applyPidfdGetfd,

	event.SOCKET_SOCKET_X:     (*State).applySocket,
	event.SOCKET_SOCKETPAIR_X: (*State).applySocketpair,
	event.SOCKET_BIND_X:       (*State).applyBind,
	event.SOCKET_LISTEN_X:     (*State).applyListen,
	event.SOCKET_CONNECT_X:    (*State).applyConnect,
	event.SOCKET_ACCEPT_5_X:   (*State).applyAccept,
	event.SOCKET_ACCEPT4_6_X:  (*State).applyAccept,
	event.SOCKET_SHUTDOWN_X:   (*State).applyShutdown,
	event.SOCKET_GETSOCKOPT_X: (*State).applyGetsockopt,
	event.SOCKET_SEND_X:       send(4),
	event.SOCKET_SENDTO_X:     send(4),
	event.SOCKET_SENDMSG_X:    send(4),
	event.SOCKET_SENDMMSG_X:   send(4),
	event.SOCKET_RECV_X:       receive(4, -1),
	event.SOCKET_RECVFROM_X:   receive(2, -1),
	event.SOCKET_RECVMSG_X:    receive(3, 4),
	event.SOCKET_RECVMMSG_X:   receive(4, 5),

	event.USER_ADDED_E:       (*State).applyUserAdded,
	event.USER_DELETED_E:     (*State).applyUserDeleted,
	event.GROUP_ADDED_E:      (*State).applyGroupAdded,
	event.GROUP_DELETED_E:    (*State).applyGroupDeleted,
	event.CONTAINER_JSON_E:   (*State).applyContainerJSON,
	event.CONTAINER_JSON_2_E: (*State).applyContainerJSON,
	event.ASYNCEVENT_E:       (*State).applyAsync,
}

// subjects names the types whose thread is not simply the one of the event.
// Threads that are just being made or that end must not be read from /proc,
// nor the many kernel threads that switches name.
var subjects = map[event.Type]subject{
	event.SYSCALL_CLONE_20_X: subjectKnown,
	event.SYSCALL_FORK_20_X:  subjectKnown,
	event.SYSCALL_VFORK_20_X: subjectKnown,
	event.SYSCALL_CLONE3_X:   subjectKnown,
	event.PROCEXIT_1_E:       subjectKnown,
	event.SCHEDSWITCH_6_E:    subjectKnown,
	event.PAGE_FAULT_E:       subjectKnown, // though its flag says none: whose fault it is is what one asks
	event.PROCINFO_E:         subjectKnown,
	event.CONTAINER_JSON_E:   subjectNone,
	event.CONTAINER_JSON_2_E: subjectNone,
	event.USER_ADDED_E:       subjectNone,
	event.USER_DELETED_E:     subjectNone,
	event.GROUP_ADDED_E:      subjectNone,
	event.GROUP_DELETED_E:    subjectNone,
	event.PLUGINEVENT_E:      subjectNone,
	event.ASYNCEVENT_E:       subjectNone,
}

// usedFDs names the types that use several descriptors and whose main one,
// the one that users see, is not the first parameter of type FD.
var usedFDs = map[event.Type]int8{
	event.SYSCALL_SPLICE_X:          2, // fd_out
	event.SYSCALL_COPY_FILE_RANGE_X: 3, // fdin
}

func makeActions() (out [512]action) {
	for _, info := range event.All() {
		a := action{fd: -1, flags: info.Flags, apply: applies[info.Type], subject: subjects[info.Type]}
		if _, ok := subjects[info.Type]; !ok && info.Flags&event.SkipParserReset != 0 {
			a.subject = subjectNone
		}
		if info.Flags&event.UsesFD != 0 {
			a.fd = usedFD(info)
		}
		out[info.Type] = a
	}
	return out
}

func usedFD(info *event.Info) int8 {
	if n, ok := usedFDs[info.Type]; ok {
		return n
	}
	for i, p := range info.Params {
		// The first parameter of an exit event is its result.
		if p.Type == event.TypeFD && (i > 0 || info.Type.IsEnter()) {
			return int8(i)
		}
	}
	return -1
}

// Apply runs an event through the state and fills he with what it refers to.
// The event must come after all that were applied since Load.
func (s *State) Apply(ev *event.Event, he *Event) {
	s.settle(ev.Time())
	s.now = ev.Time()
	s.applied++
	*he = Event{Event: ev, State: s, FDNum: -1}
	a := &actions[ev.Type()&511]
	s.stamp(he, a)
	s.attachThread(he, a)
	if he.Thread != nil {
		he.Thread.LastSeen = s.now
		if a.fd >= 0 {
			s.attachFD(he, a)
		}
	}
	if a.apply != nil && (he.Thread != nil || a.subject != subjectThread) {
		a.apply(s, he)
	}
	if t := he.Thread; t != nil && t.enterType != 0 && !ev.Type().IsEnter() {
		t.enterType = 0
	}
	if s.applied%ageEvery == 0 {
		s.age()
	}
}

// settle finishes what had to wait until the last event was looked at. now is
// the time of the next one. A thread that ends at the time of the next event
// stays: when another thread than the main one calls exec, it ends under its
// own id and goes on as the main one, which ended before, at the same time.
func (s *State) settle(now uint64) {
	if s.ended != nil && now != s.now {
		s.bury()
	}
	if len(s.trash) > 0 {
		s.recycleFDs()
	}
}

// stamp sets the times that the event is measured from.
func (s *State) stamp(he *Event, a *action) {
	if he.Hidden {
		return
	}
	he.Prev = s.prev
	if s.first == 0 && a.subject != subjectNone && he.Info().Category != event.CategoryInternal {
		s.first = s.now
	}
	he.First = s.first
	s.prev = s.now
}

// attachThread finds the thread that caused the event.
func (s *State) attachThread(he *Event, a *action) {
	if a.subject == subjectNone {
		s.current = nil
		return
	}
	tid := he.TID()
	he.Thread = s.threads[tid]
	switch {
	case he.Thread == nil && a.subject == subjectThread && tid > 0:
		s.stats.MissingThreads++
		he.Thread = s.heal(tid, true)
	case he.Thread != nil && he.Thread.healDue && a.subject == subjectThread:
		he.Thread = s.healAgain(he.Thread)
	}
	s.current = he.Thread
}

// attachFD finds the descriptor that the event uses.
func (s *State) attachFD(he *Event, a *action) {
	num, ok := he.Int(int(a.fd))
	if !ok {
		return
	}
	he.FDNum = num
	if num < 0 {
		return
	}
	fd := he.Thread.FDs.slot(num)
	if fd == nil {
		fd = s.missingFD(he, a, num)
	}
	if fd == nil || fd.missing {
		return
	}
	he.FD = fd
	if fd.pending && a.flags&(event.ReadsFromFD|event.WritesToFD) != 0 && succeeded(he) {
		fd.pending, fd.Connected = false, true
	}
}

// succeeded reports whether the result of the event is there and not an error.
func succeeded(he *Event) bool {
	res, ok := he.Int(0)
	return ok && res >= 0
}

// created gives the event's thread a new descriptor, which is the event's.
func (s *State) created(he *Event, num int64, fd *FD) {
	if num < 0 || !s.putFD(he.Thread.FDs, num, fd) {
		return
	}
	he.FD, he.FDNum = fd, num
	he.OldName, he.NameChanged = "", fd.Name != ""
}

// rename gives the event's descriptor a name made of name.
func (s *State) rename(he *Event, fd *FD, name string) {
	if fd.Name == name {
		return
	}
	if !he.NameChanged {
		he.OldName, he.NameChanged = fd.Name, true
	}
	fd.Name = name
}

// Changes reports whether events of a type can change the state.
func Changes(t event.Type) bool { return actions[t&511].apply != nil }
