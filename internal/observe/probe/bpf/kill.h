// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Signals that the programs send themselves: to a process that begins an unwanted program, before the first
// instruction of that, or ends an unwanted call, before it sees the result.

#ifndef __KILL_H
#define __KILL_H

#define MAX_KILL_PATH 256

// What is looked for: an event type, and the path of the program of the process, or its name when KILL_COMM is
// added to the type. Both are followed by zeros.
struct kill_key {
	u32 type;
	char path[MAX_KILL_PATH];
};

#define KILL_COMM 0x10000

struct kill {
	u64 cgroup; // only below it, 0 is everywhere
	u32 signal;
	u32 id; // that user space is told, not 0
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_key);
	__type(value, struct kill);
} kills SEC(".maps");

// The key that is being looked up does not fit the stack.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOTS);
	__type(key, u32);
	__type(value, struct kill_key);
} kill_keys SEC(".maps");

u8 has_kills;

// strike sends the signal if the process is in the cgroup, and notes that.
static __always_inline bool strike(struct scratch *s, struct kill *kill)
{
	if (kill->cgroup && !below_cgroup(kill->cgroup))
		return false;
	if (bpf_send_signal(kill->signal))
		return false; // the kernel spares the first process, and its own threads
	s->kill = kill->id;
	return true;
}

// judge looks whether the event that was just made is one that its process does not survive. Verified once.
__noinline int judge(u32 root, u32 type)
{
	struct scratch *s = scratch_of(root);
	struct kill_key *key = bpf_map_lookup_elem(&kill_keys, &root);
	struct task_struct *task = current_task();
	struct file *exe;
	struct kill *kill;
	u32 off, len;

	if (!s || !key)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	key->type = type | KILL_COMM;
	bpf_get_current_comm(key->path, 16);
	kill = bpf_map_lookup_elem(&kills, key);
	if (kill && strike(s, kill))
		return 0;
	exe = BPF_CORE_READ(task, mm, exe_file);
	if (!exe)
		return 0;
	off = walk_path((u64)BPF_CORE_READ(exe, f_path.dentry), (u64)BPF_CORE_READ(exe, f_path.mnt), root);
	len = MAX_PATH - off;
	if (len >= MAX_KILL_PATH)
		return 0;
	bound(len, MAX_KILL_PATH - 1);
	__builtin_memset(key, 0, sizeof(*key));
	key->type = type;
	bpf_probe_read_kernel(key->path, len, &s->path[off & (MAX_PATH - 1)]);
	kill = bpf_map_lookup_elem(&kills, key);
	if (kill)
		strike(s, kill);
	return 0;
}

#endif
