// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Processes: the parameters that exec and clone events carry about a task.

#ifndef __PROCESS_H
#define __PROCESS_H

#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

#define RLIMIT_NOFILE 7
#define MAX_ARGS 4096    // bytes of arguments, of environment, of cgroups
#define MAX_POINTERS 64  // of an argv or envp that is read pointer by pointer
#define MAX_GROUPS 32
#define MAX_THREADS 32   // that are looked at for one that lives
#define MAX_ANCESTORS 32

#define CAP_DAC_OVERRIDE 1

// Of the tables execve_flags and clone_flags.
#define SCAP_EXE_WRITABLE 1
#define SCAP_EXE_UPPER_LAYER 2
#define SCAP_EXE_FROM_MEMFD 4
#define SCAP_EXE_LOWER_LAYER 8
#define SCAP_CLONE_CHILD_IN_PIDNS (1 << 29)

// The flags of the clone3 that a thread is making, as the kernel has taken them. When it returns, the struct in the
// program's memory may say something else, or not be there to be read.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} clone3_flags SEC(".maps");

enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES };

// pid_nr returns the number of a pid in the namespace of that level, 0 if it has none there.
static __always_inline s64 pid_nr(struct pid *pid, u32 level)
{
	struct upid *upid;

	if (!pid || level > BPF_CORE_READ(pid, level))
		return 0;
	upid = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	return BPF_CORE_READ(upid, nr);
}

static __always_inline u32 pidns_level(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_pid, level);
}

// pidns_of returns the pid namespace that a task is in.
static __always_inline struct pid_namespace *pidns_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *upid;

	upid = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
	       BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid);
	return BPF_CORE_READ(upid, ns);
}

static __always_inline u64 pages_of(struct mm_struct *mm, u32 kind)
{
	s64 n = 0;

	if (bpf_core_type_exists(struct mm_rss_stat)) {
		struct mm_struct___v61 *old = (void *)mm;
		bpf_core_read(&n, sizeof(n), &old->rss_stat.count[kind]);
	} else {
		bpf_probe_read_kernel(&n, sizeof(n), (void *)mm + bpf_core_field_offset(struct mm_struct, rss_stat) +
			kind * bpf_core_type_size(struct percpu_counter) + bpf_core_field_offset(struct percpu_counter, count));
	}
	return n < 0 ? 0 : n;
}

#define PAGES_TO_KB 4

static __always_inline u32 vm_size(struct mm_struct *mm)
{
	return mm ? BPF_CORE_READ(mm, total_vm) * PAGES_TO_KB : 0;
}

static __always_inline u32 vm_rss(struct mm_struct *mm)
{
	if (!mm)
		return 0;
	return (pages_of(mm, MM_FILEPAGES) + pages_of(mm, MM_ANONPAGES) + pages_of(mm, MM_SHMEMPAGES)) * PAGES_TO_KB;
}

static __always_inline u32 vm_swap(struct mm_struct *mm)
{
	return mm ? pages_of(mm, MM_SWAPENTS) * PAGES_TO_KB : 0;
}

// put_user_range puts the memory from start to end, at most MAX_ARGS - taken bytes, ended by a NUL.
static __always_inline void put_user_range(struct scratch *s, u64 start, u64 end, u32 taken)
{
	u64 len = end - start;

	if (end <= start || taken >= MAX_ARGS) {
		put_empty(s);
		return;
	}
	if (len > MAX_ARGS - taken)
		len = MAX_ARGS - taken;
	if (add_user(s, start, len))
		s->data[(s->pos + s->filled - 1) & 0xffff] = 0;
	put_pieces(s);
}

// put_exe_args puts exe and args from the memory where the kernel knows them
// to be. The memory is the running task's; a child's is a copy of it.
static __always_inline void put_exe_args(struct scratch *s, struct mm_struct *mm)
{
	u64 start = mm ? BPF_CORE_READ(mm, arg_start) : 0, end = mm ? BPF_CORE_READ(mm, arg_end) : 0;
	long n = 0;

	if (start < end)
		n = read_user_string(room(s), MAX_ARGS, start);
	if (n < 0)
		n = 0;
	if (start + n > end) { // argv is empty, what follows is the environment
		n = 0;
		start = end;
	}
	put_len(s, n);
	put_user_range(s, start + n, end, n);
}

static __always_inline void put_env(struct scratch *s, struct mm_struct *mm)
{
	if (!mm)
		put_empty(s);
	else
		put_user_range(s, BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end), 0);
}

// put_pointed_strings puts the strings that the pointers of an argv or envp
// point to from the given one on, as one parameter: for an exec that failed.
static __always_inline void put_pointed_strings(struct scratch *s, u64 array, u32 from)
{
	u32 i;

	for (i = from; i < MAX_POINTERS && array; i++) {
		u64 at = user_word(s, array, i);
		u32 left = MAX_ARGS - s->filled;
		long got;

		if (!at || !left || left > MAX_ARGS)
			break;
		bound(left, 2 * MAX_ARGS - 1);
		got = read_user_string(piece(s), left, at);
		if (got <= 0)
			break;
		s->filled += got;
	}
	put_pieces(s);
}

// walk_cgroup writes the path of a kernfs node as walk_path does for a dentry.
__noinline int walk_cgroup(u64 node_at, u32 root)
{
	struct scratch *s = scratch_of(root);
	struct kernfs_node *node = (void *)node_at, *parent;
	u32 off, i;

	if (!s)
		return MAX_PATH;
	s->path_off = MAX_PATH;
	for (i = 0; i < 32 && node; i++) {
		if (bpf_core_field_exists(node->__parent)) {
			parent = BPF_CORE_READ(node, __parent);
		} else {
			struct kernfs_node___v614 *old = (void *)node;
			parent = BPF_CORE_READ(old, parent);
		}
		if (!parent)
			break;
		u8 *name = &s->path[MAX_PATH]; // room behind the path
		long len = bpf_probe_read_kernel_str(name, 256, BPF_CORE_READ(node, name));
		off = *(volatile u32 *)&s->path_off;
		if (len > 0)
			s->path_off = prepend(s, off, name, len - 1);
		node = parent;
	}
	off = *(volatile u32 *)&s->path_off;
	if (off == MAX_PATH) {
		off--;
		s->path[off & (MAX_PATH - 1)] = '/';
	}
	return off;
}

struct cgroup_walk {
	u32 off; // of the path of last
	u32 root;
	struct cgroup *last;
};

// add_cgroup adds "NAME=PATH" and a NUL. Without controllers of its own a
// cgroup often stands for several of them: its path is walked once.
static __always_inline void add_cgroup(struct scratch *s, struct cgroup_walk *w, const char *name, u32 namelen,
				       struct cgroup *cgroup)
{
	u32 len;

	if (!cgroup)
		return;
	if (cgroup != w->last) {
		w->off = walk_cgroup((u64)BPF_CORE_READ(cgroup, kn), w->root);
		w->last = cgroup;
	}
	len = MAX_PATH - w->off;
	if (len > MAX_PATH || s->filled + namelen + len + 1 > MAX_ARGS)
		return;
	bound(len, 2 * MAX_PATH - 1);
	__builtin_memcpy(piece(s), name, namelen);
	s->filled += namelen;
	bpf_probe_read_kernel(piece(s), len, &s->path[w->off & (MAX_PATH - 1)]);
	s->filled += len;
	*piece(s) = 0;
	s->filled++;
}

// add_controller appends the cgroup of a controller, under the name that /proc/PID/cgroup has for it.
#define add_controller(s, w, set, id, v1, v2)                                                                     \
	do {                                                                                                      \
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, id)) {                                      \
			struct cgroup_subsys_state *css = NULL;                                                   \
			struct cgroup *cgroup;                                                                    \
			bpf_probe_read_kernel(&css, sizeof(css), (void *)(set) +                                  \
				bpf_core_field_offset(struct css_set, subsys) +                                   \
				8 * bpf_core_enum_value(enum cgroup_subsys_id, id));                              \
			cgroup = BPF_CORE_READ(css, cgroup);                                                      \
			if (BPF_CORE_READ(cgroup, root) == BPF_CORE_READ(set, dfl_cgrp, root)) {                  \
				if (sizeof(v2) > 1)                                                               \
					add_cgroup(s, w, v2, sizeof(v2) - 1, cgroup);                             \
			} else {                                                                                  \
				add_cgroup(s, w, v1, sizeof(v1) - 1, cgroup);                                     \
			}                                                                                         \
		}                                                                                                 \
	} while (0)

// put_cgroups puts the cgroups that tell containers and limits apart.
static __always_inline void put_cgroups(struct scratch *s, struct task_struct *task, u32 root)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_walk w = {.root = root};

	if (set && fits(s, 2 * MAX_ARGS)) {
		add_controller(s, &w, set, cpuset_cgrp_id, "cpuset=", "cpuset=");
		add_controller(s, &w, set, cpu_cgrp_id, "cpu=", "cpu=");
		add_controller(s, &w, set, cpuacct_cgrp_id, "cpuacct=", "");
		add_controller(s, &w, set, io_cgrp_id, "blkio=", "io=");
		add_controller(s, &w, set, memory_cgrp_id, "memory=", "memory=");
		add_controller(s, &w, set, pids_cgrp_id, "pids=", "pids=");
		add_cgroup(s, &w, "unified=", 8, BPF_CORE_READ(set, dfl_cgrp));
	}
	put_pieces(s);
}

// put_task puts the parameters tid … cgroups, which exec and clone have in common.
static __always_inline void put_task(struct scratch *s, struct task_struct *task, struct mm_struct *mm, u32 root)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	put_u64(s, BPF_CORE_READ(task, pid));
	put_u64(s, BPF_CORE_READ(task, tgid));
	put_u64(s, BPF_CORE_READ(task, real_parent, tgid));
	if (fs)
		put_path(s, &fs->pwd, root);
	else
		put_empty(s);
	put_u64(s, BPF_CORE_READ(task, signal, rlim[RLIMIT_NOFILE].rlim_cur));
	put_u64(s, BPF_CORE_READ(task, maj_flt));
	put_u64(s, BPF_CORE_READ(task, min_flt));
	put_u32(s, vm_size(mm));
	put_u32(s, vm_rss(mm));
	put_u32(s, vm_swap(mm));
	put_kernel_string(s, &task->comm);
	put_cgroups(s, task, root);
}

// put_clone_tail puts what a clone event has after cgroups.
static __always_inline void put_clone_tail(struct scratch *s, struct task_struct *task, u64 flags)
{
	struct pid_namespace *for_children = BPF_CORE_READ(task, nsproxy, pid_ns_for_children);
	u32 level = pidns_level(task);

	flags = translate(TABLE_CLONE, flags);
	if (level || (for_children && BPF_CORE_READ(for_children, level)))
		flags |= SCAP_CLONE_CHILD_IN_PIDNS;
	put_u32(s, flags);
	put_u32(s, BPF_CORE_READ(task, cred, euid.val));
	put_u32(s, BPF_CORE_READ(task, cred, egid.val));
	put_u64(s, pid_nr(BPF_CORE_READ(task, thread_pid), level));
	put_u64(s, pid_nr(BPF_CORE_READ(task, group_leader, thread_pid), level));
	// Unlike all other times this one counts from the start of the machine.
	put_u64(s, BPF_CORE_READ(pidns_of(task), child_reaper, start_boottime));
}

static __always_inline u32 tty_of(struct task_struct *task)
{
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);
	struct tty_driver *driver;

	if (!tty)
		return 0;
	driver = BPF_CORE_READ(tty, driver);
	return encode_dev(BPF_CORE_READ(driver, major) << 20 |
			  (BPF_CORE_READ(driver, minor_start) + BPF_CORE_READ(tty, index)));
}

static __always_inline bool in_group(const struct cred *cred, u32 gid)
{
	struct group_info *groups = BPF_CORE_READ(cred, group_info);
	u32 n, i, g = 0;

	if (BPF_CORE_READ(cred, fsgid.val) == gid)
		return true;
	n = BPF_CORE_READ(groups, ngroups);
	for (i = 0; i < MAX_GROUPS && i < n; i++) {
		bpf_probe_read_kernel(&g, sizeof(g),
				      (void *)groups + bpf_core_field_offset(struct group_info, gid) + 4 * i);
		if (g == gid)
			return true;
	}
	return false;
}

// may_write tells whether the credentials let a program write the file: its
// permission bits, or the capability to ignore them.
static __always_inline bool may_write(struct inode *inode, const struct cred *cred)
{
	u16 mode = BPF_CORE_READ(inode, i_mode);
	u64 caps = 0;

	if (BPF_CORE_READ(cred, fsuid.val) == BPF_CORE_READ(inode, i_uid.val)) {
		if (mode & 0200)
			return true;
	} else if (in_group(cred, BPF_CORE_READ(inode, i_gid.val))) {
		if (mode & 0020)
			return true;
	} else if (mode & 0002) {
		return true;
	}
	bpf_probe_read_kernel(&caps, sizeof(caps), &cred->cap_effective);
	return caps & (1 << CAP_DAC_OVERRIDE) && !BPF_CORE_READ(cred, user_ns, level);
}

static __always_inline u32 exe_flags(struct file *exe, struct inode *inode, const struct cred *cred)
{
	enum layer layer = inode_layer(inode);
	u32 flags = 0;

	if (may_write(inode, cred))
		flags |= SCAP_EXE_WRITABLE;
	if (layer == LAYER_UPPER)
		flags |= SCAP_EXE_UPPER_LAYER;
	if (layer == LAYER_LOWER)
		flags |= SCAP_EXE_LOWER_LAYER;
	if (is_memfd(exe))
		flags |= SCAP_EXE_FROM_MEMFD;
	return flags;
}

static __always_inline void put_caps(struct scratch *s, const struct cred *cred)
{
	u64 caps = 0;

	bpf_probe_read_kernel(&caps, sizeof(caps), &cred->cap_inheritable);
	put_u64(s, caps);
	bpf_probe_read_kernel(&caps, sizeof(caps), &cred->cap_permitted);
	put_u64(s, caps);
	bpf_probe_read_kernel(&caps, sizeof(caps), &cred->cap_effective);
	put_u64(s, caps);
}

static __always_inline u32 loginuid_of(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->loginuid))
		return -1;
	return BPF_CORE_READ(task, loginuid.val);
}

// put_exec_tail puts what an exec event has after env, up to gid.
static __always_inline void put_exec_tail(struct scratch *s, struct task_struct *task, struct mm_struct *mm, u32 root)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);
	struct pid *group = BPF_CORE_READ(task, signal, pids[PIDTYPE_PGID]);
	struct file *exe = mm ? BPF_CORE_READ(mm, exe_file) : NULL;
	struct inode *inode = exe ? BPF_CORE_READ(exe, f_inode) : NULL;

	put_u32(s, tty_of(task));
	put_u64(s, pid_nr(group, pidns_level(task)));
	put_u32(s, loginuid_of(task));
	put_u32(s, inode ? exe_flags(exe, inode, cred) : 0);
	put_caps(s, cred);
	put_u64(s, inode ? BPF_CORE_READ(inode, i_ino) : 0);
	put_u64(s, inode ? inode_ctime(inode) : 0);
	put_u64(s, inode ? inode_mtime(inode) : 0);
	put_u32(s, BPF_CORE_READ(cred, euid.val));
	if (exe)
		put_path(s, &exe->f_path, root);
	else
		put_empty(s);
	put_u64(s, pid_nr(group, 0));
	put_u32(s, BPF_CORE_READ(cred, egid.val));
}

// live_thread returns a thread of the process that is not exiting, or 0.
__noinline u64 live_thread(u64 signal_at)
{
	struct signal_struct *signal = (void *)signal_at;
	struct list_head *head = &signal->thread_head, *at = BPF_CORE_READ(signal, thread_head.next);
	u32 i;

	for (i = 0; i < MAX_THREADS && at && at != head; i++) {
		struct task_struct *t = (void *)at - bpf_core_field_offset(struct task_struct, thread_node);

		if (!(BPF_CORE_READ(t, flags) & PF_EXITING))
			return BPF_CORE_READ(t, pid);
		at = BPF_CORE_READ(at, next);
	}
	return 0;
}

// reaper_of returns the thread that becomes the parent of a dying task's
// children, 0 if it has none. It does what the kernel's find_new_reaper does.
static __always_inline s64 reaper_of(struct task_struct *task)
{
	struct list_head *children = &task->children;
	struct pid_namespace *ns = pidns_of(task);
	struct task_struct *t, *init = BPF_CORE_READ(ns, child_reaper);
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	u32 level = pidns_level(task), i;
	u64 live;

	if (BPF_CORE_READ(task, children.next) == children)
		return 0;
	live = live_thread((u64)signal);
	if (live)
		return live;
	if (BPF_CORE_READ_BITFIELD_PROBED(signal, has_child_subreaper)) {
		t = BPF_CORE_READ(task, real_parent);
		for (i = 0; i < MAX_ANCESTORS && t && t != init && pidns_level(t) == level; i++) {
			signal = BPF_CORE_READ(t, signal);
			if (BPF_CORE_READ_BITFIELD_PROBED(signal, is_child_subreaper)) {
				live = live_thread((u64)signal);
				if (live)
					return live;
			}
			t = BPF_CORE_READ(t, real_parent);
		}
	}
	return init ? BPF_CORE_READ(init, pid) : 0;
}

#endif
