// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Where each architecture keeps a system call: its number, its arguments, and
// whether a 32-bit program made it.

#ifndef __ARCH_H
#define __ARCH_H

#if defined(__TARGET_ARCH_x86)

// Set in thread_info.status while a call through one of the 32-bit entries runs.
#define TS_COMPAT 0x0002

// Marks the numbers of the x32 ABI: 64-bit entry, 32-bit pointers.
#define X32_BIT 0x40000000

static __always_inline u32 syscall_nr(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline void syscall_args(struct pt_regs *regs, bool compat, u64 *args)
{
	if (compat) {
		args[0] = (u32)regs->bx;
		args[1] = (u32)regs->cx;
		args[2] = (u32)regs->dx;
		args[3] = (u32)regs->si;
		args[4] = (u32)regs->di;
		args[5] = (u32)regs->bp;
		return;
	}
	args[0] = regs->di;
	args[1] = regs->si;
	args[2] = regs->dx;
	args[3] = regs->r10;
	args[4] = regs->r8;
	args[5] = regs->r9;
}

#define COMPAT_WORD status
#define COMPAT_BIT TS_COMPAT

// read_syscall_nr is syscall_nr for registers that the verifier does not know.
static __always_inline u32 read_syscall_nr(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, orig_ax);
}

#elif defined(__TARGET_ARCH_arm64)

#define TIF_32BIT 22

static __always_inline u32 syscall_nr(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline void syscall_args(struct pt_regs *regs, bool compat, u64 *args)
{
	args[0] = regs->orig_x0;
	args[1] = regs->regs[1];
	args[2] = regs->regs[2];
	args[3] = regs->regs[3];
	args[4] = regs->regs[4];
	args[5] = regs->regs[5];
}

#define COMPAT_WORD flags
#define COMPAT_BIT (1UL << TIF_32BIT)

static __always_inline u32 read_syscall_nr(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, syscallno);
}

#endif

// current_task returns the running task, to be read through BPF_CORE_READ.
static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

// in_compat reports whether the running system call came through a 32-bit entry.
static __always_inline bool in_compat(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return bpf_get_current_task_btf()->thread_info.COMPAT_WORD & COMPAT_BIT;
	struct task_struct *task = current_task();
	return BPF_CORE_READ(task, thread_info.COMPAT_WORD) & COMPAT_BIT;
}

#endif
