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
	u32 signal;
	u32 id;     // that user space is told, not 0
	u32 scoped; // only in its cgroups, see kill_scopes
};

// A cgroup in which a kill holds, by the id of that. What is below it is another one.
struct kill_scope {
	u64 cgroup;
	u32 id;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_key);
	__type(value, struct kill);
} kills SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_scope);
	__type(value, u8);
} kill_scopes SEC(".maps");

// The key that is being looked up does not fit the stack.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOTS);
	__type(key, u32);
	__type(value, struct kill_key);
} kill_keys SEC(".maps");

u8 has_kills;

// kill_cgroup returns the id of the running task's cgroup: of the memory controller where that has a hierarchy of version 1, else in
// the one of version 2.
static __always_inline u64 kill_cgroup(void)
{
	struct css_set *set = BPF_CORE_READ(current_task(), cgroups);
	struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);

	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
		struct cgroup_subsys_state *css = NULL;
		struct cgroup *memory;

		bpf_probe_read_kernel(&css, sizeof(css),
				      (void *)set + bpf_core_field_offset(struct css_set, subsys) +
					      8 * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
		memory = BPF_CORE_READ(css, cgroup);
		if (memory && BPF_CORE_READ(memory, root) != BPF_CORE_READ(cgroup, root))
			cgroup = memory;
	}
	return BPF_CORE_READ(cgroup, kn, id);
}

// strike sends the signal if the process is in one of the cgroups, and notes that.
static __always_inline bool strike(struct scratch *s, struct kill *kill)
{
	struct kill_scope scope = {.id = kill->id};

	if (kill->scoped) {
		scope.cgroup = kill_cgroup();
		if (!bpf_map_lookup_elem(&kill_scopes, &scope))
			return false;
	}
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
