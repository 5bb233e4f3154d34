// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The black box: what nobody may ever want, with its data, goes into memory of the CPU that overwrites itself.
// User space maps it and looks only when something has happened.

#ifndef __BOX_H
#define __BOX_H

#define MAX_BOX_PORTS 16

enum box_class {
	BOX_FILE,
	BOX_INET,
	BOX_UNIX,
	BOX_PIPE,
	BOX_OTHER,
	BOX_CLASSES,
};

struct box_port {
	u32 port;
	u32 snaplen;
};

// Each CPU has a few segments and fills one after the other, round and round. A record is its length, in a word of
// 8 bytes, and a record of a ring, padded to 8. The last one of a segment goes over SEGMENT_FULL.
#define SEGMENT_FULL (512 * 1024)

struct box_segment {
	u64 number; // how many segments the CPU has begun, with this one; 0 while it is being emptied
	u64 used;   // bytes
	u8 data[SEGMENT_FULL + 65536 + 64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // CPUs × box_segments_each
	__type(key, u32);
	__type(value, struct box_segment);
} box_segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} box_numbers SEC(".maps"); // of the segment that the CPU fills

const volatile u32 box_segments_each;

// Whether a cgroup is recorded, with all below it up to others that are here, by the id in the hierarchy of container_cgroup.
enum box_verdict {
	BOX_RECORDED = 1,
	BOX_LEFT_OUT = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u8);
} box_cgroups SEC(".maps");

// Files whose data is kept in another length, by inode and device.
struct box_file {
	u64 ino;
	u32 dev;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct box_file);
	__type(value, u32);
} box_files SEC(".maps");

const volatile bool has_box;

u8 box_scoped; // the map says what is recorded
u8 box_rest;   // whether that is what the map says nothing about
u8 box_paused;
u32 box_most; // bytes of data, whatever the lengths say
u32 box_snaplens[BOX_CLASSES];
struct box_port box_ports[MAX_BOX_PORTS]; // port 0 is the end
u8 box_has_files;

#define MAX_CGROUP_LEVEL 16

// container_cgroup returns the running task's cgroup that tells its container: of the memory controller where that has a hierarchy
// of version 1, else the one of version 2. The helpers that tell cgroups are not there for programs of 5.10, so the way up is walked.
static __always_inline struct kernfs_node *container_cgroup(void)
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
	return BPF_CORE_READ(cgroup, kn);
}

static __always_inline struct kernfs_node *cgroup_above(struct kernfs_node *node)
{
	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	struct kernfs_node___v614 *old = (void *)node;
	return BPF_CORE_READ(old, parent);
}

// in_scope reports whether the running task is in a cgroup that is recorded. Verified once.
__noinline int in_scope(void)
{
	struct kernfs_node *node = container_cgroup();
	u8 *verdict;
	u64 id;
	int i;

	for (i = 0; i < MAX_CGROUP_LEVEL && node; i++) {
		id = BPF_CORE_READ(node, id);
		verdict = bpf_map_lookup_elem(&box_cgroups, &id);
		if (verdict)
			return *verdict == BOX_RECORDED;
		node = cgroup_above(node);
	}
	return box_rest;
}

// in_box reports whether what the running task does is recorded.
static __always_inline bool in_box(void)
{
	return has_box && !box_paused && (!box_scoped || in_scope());
}

static __always_inline u32 port_snaplen(struct sock *sk, u32 len)
{
	u32 local = BPF_CORE_READ(sk, __sk_common.skc_num), remote = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport)), i;

	for (i = 0; i < MAX_BOX_PORTS; i++) {
		u32 port = box_ports[i].port;

		if (!port)
			break;
		if (port == local || port == remote)
			return box_ports[i].snaplen;
	}
	return len;
}

static __always_inline u32 file_snaplen(struct inode *inode, u32 len)
{
	struct box_file key = {};
	u32 *other;

	if (!box_has_files)
		return len;
	key.ino = BPF_CORE_READ(inode, i_ino);
	key.dev = encode_dev(BPF_CORE_READ(inode, i_sb, s_dev));
	other = bpf_map_lookup_elem(&box_files, &key);
	return other ? *other : len;
}

// wanted_snaplen returns how much data is to be kept of a call on that descriptor.
static __always_inline u32 wanted_snaplen(s64 fd)
{
	struct file *file = file_of(fd);
	struct inode *inode;
	struct sock *sk;
	u32 family;

	if (!file)
		return box_snaplens[BOX_OTHER];
	inode = BPF_CORE_READ(file, f_inode);
	switch (BPF_CORE_READ(inode, i_mode) & S_IFMT) {
	case S_IFREG:
		return file_snaplen(inode, box_snaplens[BOX_FILE]);
	case S_IFIFO:
		return box_snaplens[BOX_PIPE];
	case S_IFSOCK:
		sk = sock_of(fd);
		family = sk ? BPF_CORE_READ(sk, __sk_common.skc_family) : 0;
		if (family == AF_UNIX)
			return box_snaplens[BOX_UNIX];
		if (family == AF_INET || family == AF_INET6)
			return port_snaplen(sk, box_snaplens[BOX_INET]);
	}
	return box_snaplens[BOX_OTHER];
}

// box_snaplen returns how much data is kept of a call on that descriptor. Verified once.
__noinline int box_snaplen(s64 fd)
{
	u32 len = box_most ? wanted_snaplen(fd) : 0;

	return len < box_most ? len : box_most;
}

// segment_of returns the segment with a number of this CPU.
static __always_inline struct box_segment *segment_of(u64 number)
{
	u32 index;

	if (!box_segments_each)
		return NULL;
	index = bpf_get_smp_processor_id() * box_segments_each + (u32)number % box_segments_each;
	return bpf_map_lookup_elem(&box_segments, &index);
}

// keep puts the finished event into the box. User space may look at any moment: a segment that is used again has no number
// meanwhile, and what is behind used is not there yet.
__noinline int keep(u32 root)
{
	struct scratch *s = scratch_of(root);
	struct box_segment *segment;
	u32 zero = 0, len, at;
	u64 *number = bpf_map_lookup_elem(&box_numbers, &zero);

	if (!s || !number)
		return 0;
	segment = segment_of(*number);
	if (!segment)
		return 0;
	if (!*number || segment->used >= SEGMENT_FULL) {
		*number += 1;
		segment = segment_of(*number);
		if (!segment)
			return 0;
		*(volatile u64 *)&segment->number = 0;
		*(volatile u64 *)&segment->used = 0;
		*(volatile u64 *)&segment->number = *number;
	}
	len = finish(s);
	at = segment->used;
	if (len > MAX_WHOLE)
		return 0;
	bound(at, SEGMENT_FULL - 1);
	bound(len, 0xffff);
	*(u64 *)(segment->data + at) = len;
	bpf_probe_read_kernel(segment->data + at + 8, len, s->data);
	*(volatile u64 *)&segment->used = at + 8 + ((len + 7) & ~7);
	return 0;
}

// tell sends the finished event of the life of a task, into the box too.
static __always_inline void tell(struct scratch *s)
{
	submit(s, LANE_LIFECYCLE);
	if (in_box())
		keep(ROOT_TASK);
}

#endif
