// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The programs at moments in the life of a task and of a cgroup.

#ifndef __TASK_H
#define __TASK_H

#define SIGCHLD 17
#define SI_TIMER -2

// clone_type returns the event type of the call by which the running task makes
// a child. Without the helper (before 5.15) the flags must tell.
static __always_inline u32 clone_type(struct task_struct *parent, u64 flags)
{
	u32 index;
	struct call *call;

	if (BPF_CORE_READ(parent, flags) & PF_KTHREAD)
		return SYSCALL_CLONE_20_X;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs) &&
	    bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		index = read_syscall_nr((void *)bpf_task_pt_regs(bpf_get_current_task_btf()));
		if (in_compat())
			index += COMPAT_CALLS;
		call = bpf_map_lookup_elem(&calls, &index);
		if (call && call->maker == MAKER_CLONE)
			return call->type;
		return SYSCALL_CLONE_20_X;
	}
	if (flags & CLONE_VFORK)
		return SYSCALL_VFORK_20_X;
	return flags ? SYSCALL_CLONE_20_X : SYSCALL_FORK_20_X;
}

// A new task, before it runs for the first time. Its parent runs, so what is
// read from memory is the parent's; the child's is the same or a copy.
static __always_inline void on_task_newtask(struct task_struct *child, u64 flags)
{
	struct task_struct *parent = current_task();
	struct mm_struct *mm = BPF_CORE_READ(child, mm);
	u32 type, tgid = BPF_CORE_READ(child, tgid), pid = BPF_CORE_READ(child, pid);
	struct scratch *s;

	if (tgid == own_tgid)
		return;
	type = clone_type(parent, flags);
	s = begin(ROOT_TASK, type);
	if (!s)
		return;
	if (tgid == pid)
		image_changed(tgid, s->ts);
	if (type == SYSCALL_CLONE3_X) {
		u32 maker = bpf_get_current_pid_tgid();

		bpf_map_update_elem(&clone3_flags, &maker, &flags, BPF_ANY);
	}
	start_event(s, type, 21, pid);
	put_u64(s, 0);
	put_exe_args(s, mm);
	put_task(s, child, mm, ROOT_TASK);
	put_clone_tail(s, child, flags);
	tell(s);
	end(s);
}

SEC("tp_btf/task_newtask")
int BPF_PROG(task_newtask, struct task_struct *child, u64 flags)
{
	hold();
	on_task_newtask(child, flags);
	release();
	return 0;
}

// put_exit puts what PROCEXIT_1_E has.
static __always_inline void put_exit(struct scratch *s, u32 tid, u32 code, s64 reaper)
{
	start_event(s, PROCEXIT_1_E, 5, tid);
	put_u64(s, code);
	put_u64(s, (code >> 8) & 0xff);
	put_u8(s, code & 0x7f);
	put_u8(s, (code & 0x80) != 0);
	put_u64(s, reaper);
}

// A successful execve or execveat; x86 itself pretends that it was execve.
static __always_inline void on_sched_process_exec(struct task_struct *task, u32 old_pid, struct linux_binprm *bprm)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u32 pid = BPF_CORE_READ(task, pid);
	struct scratch *s = begin(ROOT_TASK, SYSCALL_EXECVE_19_X);

	if (!s)
		return;
	image_changed(BPF_CORE_READ(task, tgid), s->ts);
	// The thread has taken the place of the main thread: its own id is gone without an exit.
	if (old_pid != pid) {
		put_exit(s, old_pid, 0, 0);
		tell(s);
	}
	if (time_entries)
		s->latency = latency_until(pid, s->ts - boot_epoch);
	start_event(s, SYSCALL_EXECVE_19_X, 31, pid);
	put_u64(s, 0);
	put_exe_args(s, mm);
	put_task(s, task, mm, ROOT_TASK);
	put_env(s, mm);
	put_exec_tail(s, task, mm, ROOT_TASK);
	put_kernel_string(s, BPF_CORE_READ(bprm, filename));
	if (has_kills)
		judge(ROOT_TASK, SYSCALL_EXECVE_19_X);
	tell(s);
	end(s);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec, struct task_struct *task, u32 old_pid, struct linux_binprm *bprm)
{
	hold();
	on_sched_process_exec(task, old_pid, bprm);
	release();
	return 0;
}

static __always_inline void on_sched_process_exit(struct task_struct *task)
{
	u32 tgid = BPF_CORE_READ(task, tgid);
	struct scratch *s;

	if (tgid == own_tgid)
		return;
	s = begin(ROOT_TASK, PROCEXIT_1_E);
	if (!s)
		return;
	if (!BPF_CORE_READ(task, signal, live.counter))
		forget_process(tgid);
	forget_thread(BPF_CORE_READ(task, pid));
	put_exit(s, BPF_CORE_READ(task, pid), BPF_CORE_READ(task, exit_code), reaper_of(task));
	tell(s);
	end(s);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	hold();
	on_sched_process_exit(task);
	release();
	return 0;
}

// Tells user space of a new cgroup, perhaps a container's, before anything runs in it.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} notices SEC(".maps");

static __always_inline void on_cgroup_mkdir(struct cgroup *cgroup, const char *path)
{
	struct scratch *s = begin(ROOT_TASK, NOTICE_CGROUP);
	u32 len;

	if (!s)
		return;
	start_event(s, NOTICE_CGROUP, 1, 0);
	put_kernel_string(s, path);
	len = s->pos;
	if (len <= MAX_EVENT)
		bpf_ringbuf_output(&notices, s->data, len, BPF_RB_FORCE_WAKEUP);
	end(s);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	hold();
	on_cgroup_mkdir(cgroup, path);
	release();
	return 0;
}

// Programs below are attached only when somebody asks for their event.

static __always_inline void on_signal_deliver(int sig, struct kernel_siginfo *info)
{
	u64 id = bpf_get_current_pid_tgid();
	struct scratch *s;
	u32 sender = 0;
	int code;

	if (id >> 32 == own_tgid)
		return;
	s = begin(ROOT_TASK, SIGNALDELIVER_E);
	if (!s)
		return;
	// Only signals that a process sent, or died with, have a sender.
	code = BPF_CORE_READ(info, si_code);
	if ((code <= 0 && code != SI_TIMER) || sig == SIGCHLD)
		sender = BPF_CORE_READ(info, _sifields._kill._pid);
	start_event(s, SIGNALDELIVER_E, 3, id);
	put_u64(s, sender);
	put_u64(s, (u32)id);
	put_u8(s, sig);
	submit(s, LANE_ACTIVITY);
	end(s);
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_deliver, int sig, struct kernel_siginfo *info)
{
	hold();
	on_signal_deliver(sig, info);
	release();
	return 0;
}

static __always_inline void on_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct mm_struct *mm;
	struct scratch *s;

	if (own_tgid && BPF_CORE_READ(prev, tgid) == own_tgid)
		return;
	s = begin(ROOT_SWITCH, SCHEDSWITCH_6_E);
	if (!s)
		return;
	mm = BPF_CORE_READ(prev, mm);
	start_event(s, SCHEDSWITCH_6_E, 6, BPF_CORE_READ(prev, pid));
	put_u64(s, BPF_CORE_READ(next, pid));
	put_u64(s, BPF_CORE_READ(prev, maj_flt));
	put_u64(s, BPF_CORE_READ(prev, min_flt));
	put_u32(s, vm_size(mm));
	put_u32(s, vm_rss(mm));
	put_u32(s, vm_swap(mm));
	submit(s, LANE_ACTIVITY);
	end(s);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	hold();
	on_sched_switch(preempt, prev, next);
	release();
	return 0;
}

#if defined(__TARGET_ARCH_x86)
// fault_flags gives the labels of pf_flags for the error code of the processor.
static __always_inline u32 fault_flags(u32 error)
{
	return (error & 1 ? 1 : 2) | (error & 2 ? 4 : 8) | (error & 4 ? 16 : 32) | (error & 8) << 3 | (error & 16) << 3;
}

// busy reports whether a program is making an event in that scratch area of this CPU.
static __always_inline bool busy(u32 root)
{
	struct scratch *s = scratch_of(root);

	return s && s->since;
}

static __always_inline void on_page_fault(u64 address, struct pt_regs *regs, u64 error)
{
	u64 id = bpf_get_current_pid_tgid();
	struct scratch *s;

	// A program that reads memory which is not there faults too, and gets an error instead of the page.
	if (id >> 32 == own_tgid || busy(ROOT_SYSCALL) || busy(ROOT_TASK))
		return;
	s = begin(ROOT_SWITCH, PAGE_FAULT_E);
	if (!s)
		return;
	start_event(s, PAGE_FAULT_E, 3, id);
	put_u64(s, address);
	put_u64(s, BPF_CORE_READ(regs, ip));
	put_u32(s, fault_flags(error));
	submit(s, LANE_ACTIVITY);
	end(s);
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(page_fault_user, u64 address, struct pt_regs *regs, u64 error)
{
	hold();
	on_page_fault(address, regs, error);
	release();
	return 0;
}

// A fault of the kernel on behalf of a task, mostly when it copies to or from the task's memory.
SEC("tp_btf/page_fault_kernel")
int BPF_PROG(page_fault_kernel, u64 address, struct pt_regs *regs, u64 error)
{
	hold();
	on_page_fault(address, regs, error);
	release();
	return 0;
}
#endif

#endif
