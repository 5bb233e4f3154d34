// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The programs: one at the exit of every system call, which goes on to the
// others by tail call, and one at each moment in the life of a task.

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "types_gen.h"
#include "arch.h"
#include "record.h"
#include "filter.h"
#include "file.h"
#include "socket.h"
#include "param.h"
#include "process.h"
#include "rich.h"
#include "message.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// At most that many messages of a sendmmsg or recvmmsg get an event; each is a tail call.
#define MAX_MESSAGES 16

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAKERS);
	__type(key, u32);
	__type(value, u32);
} makers SEC(".maps");

static __always_inline void start_call(struct scratch *s, struct call *call)
{
	start_event(s, call->type, call->nparams, bpf_get_current_pid_tgid());
}

// finish sends the event of a system call and frees the scratch area.
static __always_inline int finish(struct scratch *s, struct call *call)
{
	submit(s, call->flags & CALL_LIFECYCLE ? LANE_LIFECYCLE : LANE_ACTIVITY);
	end(s);
	return 0;
}

static __always_inline struct call *call_of(struct scratch *s)
{
	return bpf_map_lookup_elem(&calls, &s->call);
}

// leave_to goes on in the program that makes the event. Constant indexes make
// the calls direct jumps.
static __always_inline int leave_to(void *ctx, struct scratch *s, struct call *call)
{
	switch (call->maker) {
	case MAKER_PLAIN:
		bpf_tail_call_static(ctx, &makers, MAKER_PLAIN);
		break;
	case MAKER_RICH:
		bpf_tail_call_static(ctx, &makers, MAKER_RICH);
		break;
	case MAKER_SOCKET:
		bpf_tail_call_static(ctx, &makers, MAKER_SOCKET);
		break;
	case MAKER_EXEC:
		bpf_tail_call_static(ctx, &makers, MAKER_EXEC);
		break;
	case MAKER_CLONE:
		bpf_tail_call_static(ctx, &makers, MAKER_CLONE);
		break;
	case MAKER_MESSAGES:
		bpf_tail_call_static(ctx, &makers, MAKER_MESSAGES);
		break;
	case MAKER_SOCKETCALL:
		bpf_tail_call_static(ctx, &makers, MAKER_SOCKETCALL);
		break;
	}
	count_drop(call->type);
	end(s);
	return 0;
}

SEC("tp_btf/sys_exit")
int make_plain(void *ctx)
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
		barrier(); // s->pos and the like stay in memory: see "piece by piece"
		put_plain(s, &call->params[i]);
	}
	return finish(s, call);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	u32 nr = syscall_nr(regs), index = nr, tgid;
	bool compat = false;
	struct scratch *s;
	struct call *call;
	u8 want;

#ifdef X32_BIT
	if (nr & X32_BIT) {
		index = nr &= ~X32_BIT;
		compat = nr >= MAX_SYSCALLS;
		if (compat)
			index += COMPAT_CALLS;
	}
#endif
	if (index >= MAX_CALLS)
		return 0;
	bound(index, MAX_CALLS - 1);
	want = wants[index];
	if (!want)
		return 0;
	if (index < MAX_SYSCALLS && in_compat()) {
		compat = true;
		index += COMPAT_CALLS;
		bound(index, MAX_CALLS - 1);
		want = wants[index];
	}
	if (!(want & WANTED))
		return 0;
	tgid = bpf_get_current_pid_tgid() >> 32;
	if (tgid == own_tgid)
		return 0;
	call = bpf_map_lookup_elem(&calls, &index);
	if (!call)
		return 0;
	if (call->flags && ((call->flags & CALL_SKIP_ZERO) && !ret))
		return 0;
	if (want & OPTIONAL && !process_wants(tgid, call->code))
		return 0;
	s = begin(ROOT_SYSCALL, call->type);
	if (!s)
		return 0;
	if (call->flags & CALL_IMAGE && ret >= 0)
		image_changed(tgid, s->ts);
	syscall_args(regs, compat, s->args);
	s->ret = ret;
	s->nr = nr;
	s->call = index;
	s->compat = compat;
	s->file = 0;
	s->index = 0;
	s->snaplen = snaplen;
	if (call->type == GENERIC_X) {
		start_call(s, call);
		put_u16(s, call->code);
		put_u16(s, nr);
		return finish(s, call);
	}
	return leave_to(ctx, s, call);
}

// One parameter of a rich event. A function of its own is verified once, not
// once for each round of the loop that calls it.
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

SEC("tp_btf/sys_exit")
int make_rich(void *ctx)
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
	return finish(s, call);
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

static __always_inline void put_socket_params(struct call *call)
{
	u32 i;

	for (i = 0; i < MAX_PARAMS; i++) {
		if (i >= call->nparams)
			break;
		put_socket_param(i);
	}
}

SEC("tp_btf/sys_exit")
int make_socket(void *ctx)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;

	if (!call)
		return 0;
	start_call(s, call);
	if (call->type == SOCKET_SENDMSG_X || call->type == SOCKET_RECVMSG_X)
		open_message(s, s->args[1]);
	put_socket_params(call);
	return finish(s, call);
}

// make_messages makes an event for each message of a sendmmsg or recvmmsg, as
// if it had been sent by itself.
SEC("tp_btf/sys_exit")
int make_messages(void *ctx)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	s64 total;

	if (!call)
		return 0;
	total = s->ret;
	start_call(s, call);
	if (total > 0)
		open_mmessage(s, s->args[1], s->index);
	else
		open_message(s, s->args[1]);
	put_socket_params(call);
	s->ret = total;
	if (++s->index >= total || s->index >= MAX_MESSAGES)
		return finish(s, call);
	submit(s, LANE_ACTIVITY);
	bpf_tail_call_static(ctx, &makers, MAKER_MESSAGES);
	end(s);
	return 0;
}

// make_socketcall unpacks the call that the 32-bit socketcall multiplexes. User
// space gives the call numbers from 0 on of the second half of calls, in the
// order of socketcall's, by the map socketcalls.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, u32);
	__type(value, u32);
} socketcalls SEC(".maps");

SEC("tp_btf/sys_exit")
int make_socketcall(void *ctx)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	u32 sub, index, *at, i;
	struct call *call;
	u64 array;

	if (!s)
		return 0;
	sub = s->args[0];
	array = s->args[1];
	at = bpf_map_lookup_elem(&socketcalls, &sub);
	index = at ? *at : MAX_CALLS - 1; // which is never used
	bound(index, MAX_CALLS - 1);
	if (!(wants[index] & WANTED))
		goto none;
	s->call = index;
	call = call_of(s);
	if (!call || call->maker == MAKER_SOCKETCALL)
		goto none;
	for (i = 0; i < 6; i++)
		s->args[i] = user_word(s, array, i);
	return leave_to(ctx, s, call);
none:
	end(s);
	return 0;
}

// make_exec tells of an exec that failed: what the program asked for, by a task that is as it was.
SEC("tp_btf/sys_exit")
int make_exec(void *ctx)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	struct task_struct *task = current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u64 path, argv, envp;

	if (!call)
		return 0;
	if (call->type == SYSCALL_EXECVE_19_X) {
		path = s->args[0];
		argv = s->args[1];
		envp = s->args[2];
	} else {
		path = s->args[1];
		argv = s->args[2];
		envp = s->args[3];
	}
	start_call(s, call);
	put_u64(s, s->ret);
	put_user_string(s, argv ? user_word(s, argv, 0) : 0);
	put_pointed_strings(s, argv, 1);
	put_task(s, task, mm, ROOT_SYSCALL);
	put_pointed_strings(s, envp, 0);
	put_exec_tail(s, task, mm, ROOT_SYSCALL);
	if (call->type == SYSCALL_EXECVE_19_X)
		put_user_string(s, path);
	return finish(s, call);
}

#define CLONE_VM 0x100
#define CLONE_VFORK 0x4000

// make_clone tells the parent's side of a clone, fork or vfork, failed ones too.
SEC("tp_btf/sys_exit")
int make_clone(void *ctx)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct call *call = s ? call_of(s) : NULL;
	struct task_struct *task = current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u64 flags = 0;

	if (!call)
		return 0;
	switch (call->type) {
	case SYSCALL_CLONE_20_X:
		flags = s->args[0];
		break;
	case SYSCALL_CLONE3_X:
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
	return finish(s, call);
}

#include "task.h"

// Only to have the types in the object, for bpf2go.
const enum kind *unused_kind __attribute__((unused));
const enum maker *unused_maker __attribute__((unused));
const enum lane *unused_lane __attribute__((unused));
const enum root *unused_root __attribute__((unused));
const enum want *unused_want __attribute__((unused));
const enum call_flags *unused_call_flags __attribute__((unused));
const enum translation_mode *unused_mode __attribute__((unused));
