// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The programs: one at the exit of every system call, here, and one at each
// moment in the life of a task, in task.h. Functions that are neither static nor
// inlined are verified once, by themselves, whoever calls them.

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "types_gen.h"
#include "arch.h"
#include "record.h"
#include "filter.h"
#include "entry.h"
#include "file.h"
#include "socket.h"
#include "param.h"
#include "process.h"
#include "rich.h"
#include "message.h"
#include "argument.h"
#include "box.h"
#include "kill.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// At most that many messages of a sendmmsg or recvmmsg get an event.
#define MAX_MESSAGES 16

// The longest address, a struct sockaddr_storage.
#define MAX_SOCKADDR 128

static __always_inline void start_call(struct scratch *s, struct call *call)
{
	start_event(s, call->type, call->nparams, bpf_get_current_pid_tgid());
}

static __always_inline struct call *call_of(struct scratch *s)
{
	return bpf_map_lookup_elem(&calls, &s->call);
}

static __always_inline void submit_call(struct scratch *s, struct call *call)
{
	submit(s, call->flags & CALL_LIFECYCLE ? LANE_LIFECYCLE : LANE_ACTIVITY);
}

// The makers make the event of the call in the scratch area.

__noinline int make_plain(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	u32 i;

	if (!call)
		return 0;
	start_call(s, call);
	for (i = 0; i < MAX_PLAIN_PARAMS; i++) {
		if (i >= call->nparams)
			break;
		barrier(); // keeps s->pos and the like in memory: see "piece by piece"
		put_plain(s, &call->params[i]);
	}
	return 0;
}

__noinline int put_rich_param(u64 i)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	struct recipe *r;

	bound(i, 31);
	if (!call || i >= MAX_PARAMS)
		return 0;
	r = &call->params[i];
	if (!put_plain(s, r) && !put_rich_struct(s, r))
		put_rich(s, r);
	return 0;
}

__noinline int make_rich(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	u32 i;

	if (!call)
		return 0;
	start_call(s, call);
	for (i = 0; i < MAX_PARAMS; i++) {
		if (i >= call->nparams)
			break;
		put_rich_param(i);
	}
	return 0;
}

__noinline int put_socket_param(u64 i)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	struct recipe *r;

	bound(i, 31);
	if (!call || i >= MAX_PARAMS)
		return 0;
	r = &call->params[i];
	if (!put_plain(s, r) && !put_message(s, r))
		put_socket(s, r);
	return 0;
}

// make_socket makes the event of a call on a socket. For sendmmsg and recvmmsg
// that is the event of message i, as if it had been sent or received by itself.
__noinline int make_socket(u32 i)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	u32 n;

	if (!call)
		return 0;
	start_call(s, call);
	if (call->maker == MAKER_MESSAGES && s->ret > 0)
		open_mmessage(s, s->args[1], i);
	else if (call->flags & CALL_MESSAGE)
		open_message(s, s->args[1]);
	for (n = 0; n < MAX_PARAMS; n++) {
		if (n >= call->nparams)
			break;
		put_socket_param(n);
	}
	return 0;
}

// make_messages makes an event for each message and sends all but the last.
__noinline int make_messages(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	s64 total;
	u32 i;

	if (!call)
		return 0;
	total = s->ret;
	make_socket(0);
	if (s->alone)
		return 0;
	for (i = 1; i < MAX_MESSAGES; i++) {
		if (i >= total)
			break;
		submit(s, LANE_ACTIVITY);
		s->ret = total;
		make_socket(i);
	}
	return 0;
}

// make_exec tells of an exec that failed: what the program asked for, by a task that is as it was.
__noinline int make_exec(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	struct task_struct *task = current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u32 at = 0; // of the path among the arguments
	u64 argv;

	if (!call)
		return 0;
	if (call->type == SYSCALL_EXECVEAT_X)
		at = 1;
	argv = s->args[at + 1];
	start_call(s, call);
	put_u64(s, s->ret);
	put_user_string(s, argv ? user_word(s, argv, 0) : 0);
	put_pointed_strings(s, argv, 1);
	put_task(s, task, mm, ROOT_SYSCALL);
	put_pointed_strings(s, s->args[at + 2], 0);
	put_exec_tail(s, task, mm, ROOT_SYSCALL);
	if (call->type == SYSCALL_EXECVE_19_X)
		put_user_string(s, s->args[0]);
	return 0;
}

#define CLONE_VM 0x100
#define CLONE_VFORK 0x4000

// make_clone tells the parent's side of a clone, fork or vfork, failed ones too.
__noinline int make_clone(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	struct task_struct *task = current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u32 tid = bpf_get_current_pid_tgid();
	u64 flags = 0, *taken;

	if (!call)
		return 0;
	switch (call->type) {
	case SYSCALL_CLONE_20_X:
		flags = s->args[0];
		break;
	case SYSCALL_CLONE3_X:
		taken = bpf_map_lookup_elem(&clone3_flags, &tid);
		if (s->ret > 0 && taken)
			flags = *taken;
		else
			flags = user_u64(s->args[0]);
		break;
	case SYSCALL_VFORK_20_X:
		flags = CLONE_VFORK | CLONE_VM;
		break;
	}
	start_call(s, call);
	put_u64(s, s->ret);
	put_exe_args(s, mm);
	put_task(s, task, mm, ROOT_SYSCALL);
	put_clone_tail(s, task, flags);
	return 0;
}

static __always_inline void make_generic(struct scratch *s, struct call *call)
{
	start_call(s, call);
	put_u16(s, call->code);
	put_u16(s, s->nr);
}

static __always_inline void make(struct scratch *s, struct call *call)
{
	switch (call->maker) {
	case MAKER_GENERIC:
		make_generic(s, call);
		break;
	case MAKER_PLAIN:
		make_plain();
		break;
	case MAKER_RICH:
		make_rich();
		break;
	case MAKER_SOCKET:
		make_socket(0);
		break;
	case MAKER_MESSAGES:
		make_messages();
		break;
	case MAKER_EXEC:
		make_exec();
		break;
	case MAKER_CLONE:
		make_clone();
		break;
	}
}

// Where user space has put the calls that the 32-bit socketcall stands for, by its first argument.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, u32);
	__type(value, u32);
} socketcalls SEC(".maps");

// unpack_socketcall replaces a socketcall by the call that it stands for, NULL
// if that is not wanted.
static __always_inline struct call *unpack_socketcall(struct scratch *s)
{
	u32 sub = s->args[0], index, *at, i;
	u64 array = s->args[1];

	at = bpf_map_lookup_elem(&socketcalls, &sub);
	index = at ? *at : MAX_CALLS - 1; // which is never used
	bound(index, MAX_CALLS - 1);
	if (!(wants[index] & (WANTED | BOXED)))
		return NULL;
	s->call = index;
	for (i = 0; i < 6; i++)
		s->args[i] = user_word(s, array, i);
	return call_of(s);
}

// call_index returns where the call is in the tables, and whether it comes from
// a program with pointers of 32 bits; MAX_CALLS if nobody can want it.
static __always_inline u32 call_index(u32 nr, bool *compat)
{
	u32 index = nr;

#ifdef X32_BIT
	if (nr & X32_BIT) {
		index = nr & ~X32_BIT;
		*compat = index >= MAX_SYSCALLS;
		if (*compat)
			index += COMPAT_CALLS;
	}
#endif
	if (index >= MAX_CALLS)
		return MAX_CALLS;
	bound(index, MAX_CALLS - 1);
	if (!wants[index])
		return MAX_CALLS;
	if (index < MAX_SYSCALLS && in_compat()) {
		*compat = true;
		index += COMPAT_CALLS;
	}
	return index;
}

// make_boxed makes the event for the black box; it reports whether it is good for the rings as well.
static __always_inline bool make_boxed(struct scratch *s, struct call *call, bool data)
{
	s64 ret = s->ret;

	if (data)
		s->snaplen = box_snaplen((s32)s->args[0]);
	s->alone = 1;
	make(s, call);
	s->alone = 0;
	if (call->flags & CALL_ARGUMENT)
		check_argument(s, call);
	keep(ROOT_SYSCALL);
	if (call->maker != MAKER_MESSAGES && s->snaplen == snaplen)
		return true;
	s->snaplen = snaplen;
	s->ret = ret; // that of one message is in its place
	return false;
}

static __always_inline void on_exit(struct pt_regs *regs, s64 ret)
{
	u32 nr = syscall_nr(regs), index, tgid;
	bool compat = false, boxed, sent;
	struct scratch *s;
	struct call *call;
	u8 want;

	index = call_index(nr, &compat);
	if (index >= MAX_CALLS)
		return;
	bound(index, MAX_CALLS - 1);
	want = wants[index];
	if (!(want & (WANTED | BOXED)))
		return;
	tgid = bpf_get_current_pid_tgid() >> 32;
	call = bpf_map_lookup_elem(&calls, &index);
	if (tgid == own_tgid || !call || (call->flags & CALL_SKIP_ZERO && !ret))
		return;
	sent = want & WANTED && (!(want & OPTIONAL) || process_wants(tgid, call->code));
	boxed = want & BOXED && in_box();
	if (!sent && !boxed)
		return;
	s = begin(ROOT_SYSCALL, call->type);
	if (!s)
		return;
	if (call->flags & CALL_IMAGE && ret >= 0)
		image_changed(tgid, s->ts);
	syscall_args(regs, compat, s->args);
	s->ret = ret;
	s->nr = nr;
	s->call = index;
	s->compat = compat;
	s->file = 0;
	s->snaplen = snaplen;
	if (time_entries)
		s->latency = latency_of(bpf_get_current_pid_tgid(), index, s->ts - boot_epoch);
	if (call->maker == MAKER_SOCKETCALL)
		call = unpack_socketcall(s);
	if (call) {
		if (boxed)
			boxed = make_boxed(s, call, want & DATA);
		if (sent && !boxed) {
			make(s, call);
			if (call->flags & CALL_ARGUMENT)
				check_argument(s, call);
		}
		if (want & KILL && has_kills)
			judge_call(call);
		if (sent)
			submit_call(s, call);
	}
	end(s);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	on_exit(regs, ret);
	return 0;
}

// The format of the tracepoint as perf has it.
struct sys_exit_record {
	u64 common;
	s64 id, ret;
};

// The same for kernels that may preempt a program: the kernel then skips it for
// every other task on that CPU until the first one goes on, which is milliseconds
// of blindness. Programs of perf events are never preempted. They cost more.
SEC("tp/raw_syscalls/sys_exit")
int sys_exit_steady(struct sys_exit_record *r)
{
	on_exit((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()), r->ret);
	return 0;
}

static __always_inline void on_enter(struct pt_regs *regs, u32 nr)
{
	u64 id = bpf_get_current_pid_tgid(), args[8] = {};
	bool compat = false;
	struct call *call;
	u32 index;
	u8 want;

	index = call_index(nr, &compat);
	if (index >= MAX_CALLS)
		return;
	bound(index, MAX_CALLS - 1);
	want = wants[index];
	if (!(want & WANTED) || id >> 32 == own_tgid)
		return;
	if (time_entries)
		note_time(id, index);
	if (!sample_entries || !(want & SAMPLED))
		return;
	call = bpf_map_lookup_elem(&calls, &index);
	if (!call)
		return;
	syscall_args(regs, compat, args);
	if (call->flags & CALL_CONNECTS)
		take_sample(index, args[1], args[2] < MAX_SOCKADDR ? args[2] : MAX_SOCKADDR);
	else
		take_sample(index, call->flags & CALL_AT ? args[1] : args[0], 0);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long nr)
{
	hold();
	on_enter(regs, nr);
	release();
	return 0;
}

#include "task.h"

// Only to have the types in the object, for bpf2go.
const enum kind *unused_kind __attribute__((unused));
const enum maker *unused_maker __attribute__((unused));
const enum lane *unused_lane __attribute__((unused));
const enum root *unused_root __attribute__((unused));
const enum want *unused_want __attribute__((unused));
const struct beside_tail *unused_tail __attribute__((unused));
const enum box_class *unused_class __attribute__((unused));
const enum beside *unused_beside __attribute__((unused));
const enum kill_access *unused_access __attribute__((unused));
const enum call_flags *unused_call_flags __attribute__((unused));
const enum translation_mode *unused_mode __attribute__((unused));
