// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The iterators that the snapshot is read from: one over all threads, one over
// all descriptors. A record is laid out like an event (header, lengths,
// values) with the time at which it was read, taken before everything else.
// snapshot_iter.go decodes them.

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

// One thread of user space reads an iterator, so one scratch area is enough.
#define bpf_get_smp_processor_id() 0

#include "arch.h"
#include "record.h"
#include "file.h"
#include "param.h"
#include "process.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// Types of records; no event has them. Keep in step with snapshot_iter.go.
#define RECORD_THREAD 0xfff0
#define RECORD_FD 0xfff1

#define THREAD_PARAMS 30
#define FD_PARAMS 3

// The most that a seq_file takes at once, with room for what it keeps itself.
#define MAX_RECORD 32000

#define NSFS_MAGIC 0x6e736673
#define ANON_INODE_MAGIC 0x09041934
#define PIDFS_MAGIC 0x50494446

struct thread_numbers {
	s64 sid, vtid, vpid;
	u64 start, pidns_start; // ns since the epoch
};

struct fd_numbers {
	u32 pid, fd;
	u32 flags; // open flags of the kernel
	u32 dev;
	u64 ino;
	u32 magic; // of the file system
	s32 target; // process of a pidfd, -1 if it has ended
	u16 mode;
	u8 close_on_exec;
	u8 layer;
	u8 memfd;
	u8 pathless; // not in the tree of a file system, as a pipe that has no name
	u8 pad[2];
};

struct socket_numbers {
	u64 sock, peer; // kernel addresses
	u8 local[16], remote[16];
	u32 netns;
	u16 family, type, protocol;
	u16 named; // the name is the socket's own, not its peer's
	u16 local_port, remote_port;
};

// emit hands the record out. One that does not fit what is left of the buffer is asked for again.
static __always_inline void emit(struct bpf_iter_meta *meta, struct scratch *s)
{
	u32 len = s->pos;

	if (len > MAX_RECORD)
		return;
	bound(len, 0x7fff);
	*(u32 *)(s->data + 16) = len;
	bpf_seq_write(meta->seq, s->data, len);
}

static __always_inline struct scratch *start_record(u32 type, u32 nparams, u32 tid)
{
	struct scratch *s = scratch_of(ROOT_TASK);

	if (!s)
		return NULL;
	s->ts = bpf_ktime_get_boot_ns() + boot_epoch;
	start_event(s, type, nparams, tid);
	return s;
}

static __always_inline void put_thread_numbers(struct scratch *s, struct task_struct *task)
{
	struct thread_numbers *n = (void *)room(s);
	u32 level = pidns_level(task);

	n->sid = pid_nr(BPF_CORE_READ(task, signal, pids[PIDTYPE_SID]), 0);
	n->vtid = pid_nr(BPF_CORE_READ(task, thread_pid), level);
	n->vpid = pid_nr(BPF_CORE_READ(task, group_leader, thread_pid), level);
	n->start = BPF_CORE_READ(task, start_boottime) + boot_epoch;
	n->pidns_start = BPF_CORE_READ(pidns_of(task), child_reaper, start_boottime) + boot_epoch;
	put_len(s, sizeof(*n));
}

// put_task_memory puts what is at start to end in the memory of another task.
static __always_inline void put_task_memory(struct scratch *s, struct task_struct *task, u64 start, u64 end)
{
	u64 len = end - start;

	if (!start || end <= start) {
		put_empty(s);
		return;
	}
	if (len > MAX_ARGS)
		len = MAX_ARGS;
	bound(len, 2 * MAX_ARGS - 1);
	if (bpf_copy_from_user_task(room(s), len, (void *)start, task, 0))
		len = 0;
	put_len(s, len);
}

static __always_inline int emit_thread(struct bpf_iter__task *ctx, bool sleepable)
{
	struct task_struct *task = ctx->task;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct scratch *s;
	u32 tid, pid;

	if (!task)
		return 0;
	tid = BPF_CORE_READ(task, pid);
	pid = BPF_CORE_READ(task, tgid);
	s = start_record(RECORD_THREAD, THREAD_PARAMS, tid);
	if (!s)
		return 0;
	// A thread whose end is told or being told by an event is not in the
	// snapshot, except a main thread that others outlive.
	if (BPF_CORE_READ(task, flags) & PF_EXITING &&
	    (tid != pid || BPF_CORE_READ(task, signal, live.counter) <= 0))
		return 0;
	mm = BPF_CORE_READ(task, flags) & PF_KTHREAD ? NULL : BPF_CORE_READ(task, mm);
	put_task(s, task, mm, ROOT_TASK);
	put_exec_tail(s, task, mm, ROOT_TASK);
	put_thread_numbers(s, task);
	fs = BPF_CORE_READ(task, fs);
	if (fs)
		put_path(s, &fs->root, ROOT_TASK);
	else
		put_empty(s);
	if (sleepable && mm && tid == pid) {
		put_task_memory(s, task, BPF_CORE_READ(mm, arg_start), BPF_CORE_READ(mm, arg_end));
		put_task_memory(s, task, BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end));
	} else {
		put_empty(s);
		put_empty(s);
	}
	emit(ctx->meta, s);
	return 0;
}

// Since 5.18 an iterator may wait for the memory of a task: arguments and environment.
SEC("iter.s/task")
int threads_with_memory(struct bpf_iter__task *ctx)
{
	return emit_thread(ctx, true);
}

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	return emit_thread(ctx, false);
}

// put_unix_name puts the name that a unix socket is bound to, or else that of its peer.
static __always_inline void put_unix_name(struct scratch *s, struct unix_sock *sk)
{
	struct unix_address *addr = BPF_CORE_READ(sk, addr);
	u32 len;

	if (!addr) {
		sk = (void *)BPF_CORE_READ(sk, peer);
		addr = sk ? BPF_CORE_READ(sk, addr) : NULL;
	}
	len = addr ? BPF_CORE_READ(addr, len) : 0;
	if (len <= SUN_PATH || !fits(s, 256))
		put_empty(s);
	else
		put_len(s, copy_unix_path(s, 0, &addr->name[0].sun_path, len - SUN_PATH, false));
}

static __always_inline void put_socket(struct scratch *s, struct sock *sk)
{
	struct socket_numbers *n = (void *)room(s);
	struct unix_sock *own = (void *)sk;

	__builtin_memset(n, 0, sizeof(*n));
	n->sock = (u64)sk;
	n->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	n->type = BPF_CORE_READ(sk, sk_type);
	n->protocol = BPF_CORE_READ(sk, sk_protocol);
	n->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	switch (n->family) {
	case AF_INET:
		bpf_core_read(n->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(n->remote, 4, &sk->__sk_common.skc_daddr);
		break;
	case AF_INET6:
		bpf_core_read(n->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(n->remote, 16, &sk->__sk_common.skc_v6_daddr);
		break;
	case AF_UNIX:
		n->peer = (u64)BPF_CORE_READ(own, peer);
		n->named = BPF_CORE_READ(own, addr) != NULL;
		break;
	}
	if (n->family == AF_INET || n->family == AF_INET6) {
		n->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		n->remote_port = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	put_len(s, sizeof(*n));
}

static __always_inline bool closes_on_exec(struct task_struct *task, u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	unsigned long *bits, word = 0;

	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return false;
	bits = BPF_CORE_READ(table, close_on_exec);
	bpf_probe_read_kernel(&word, sizeof(word), bits + fd / 64);
	return word >> (fd & 63) & 1;
}

// pidfd_target returns the process that a pidfd refers to, -1 if it has ended, 0 if the file is no pidfd.
static __always_inline s32 pidfd_target(struct file *file, struct inode *inode, u32 magic)
{
	struct pid *pid = NULL;
	char name[8] = {};

	if (magic == PIDFS_MAGIC) { // since 6.9
		pid = BPF_CORE_READ(inode, i_private);
	} else if (magic == ANON_INODE_MAGIC) {
		bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
		if (name[0] == '[' && name[1] == 'p' && name[2] == 'i' && name[3] == 'd' && name[4] == 'f')
			pid = BPF_CORE_READ(file, private_data);
	}
	if (!pid)
		return 0;
	return BPF_CORE_READ(pid, tasks[PIDTYPE_PID].first) ? pid_nr(pid, 0) : -1;
}

static __always_inline void put_fd_numbers(struct scratch *s, struct task_struct *task, u32 fd, struct file *file,
					   struct inode *inode)
{
	struct fd_numbers *n = (void *)room(s);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	n->pid = BPF_CORE_READ(task, tgid);
	n->fd = fd;
	n->flags = BPF_CORE_READ(file, f_flags);
	n->dev = encode_dev(BPF_CORE_READ(inode, i_sb, s_dev));
	n->ino = BPF_CORE_READ(inode, i_ino);
	n->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	n->target = pidfd_target(file, inode, n->magic);
	n->mode = BPF_CORE_READ(inode, i_mode);
	n->close_on_exec = closes_on_exec(task, fd);
	n->layer = inode_layer(inode);
	n->memfd = is_memfd(file);
	n->pathless = BPF_CORE_READ(dentry, d_parent) == dentry;
	n->pad[0] = n->pad[1] = 0;
	put_len(s, sizeof(*n));
}

// put_fd_name puts what the descriptor's name is made from.
static __always_inline void put_fd_name(struct scratch *s, struct file *file, struct inode *inode, struct sock *sk)
{
	u32 magic = BPF_CORE_READ(inode, i_sb, s_magic);
	struct ns_common *ns;

	if (sk) {
		if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
			put_unix_name(s, (void *)sk);
		else
			put_empty(s);
	} else if (magic == NSFS_MAGIC) {
		ns = BPF_CORE_READ(inode, i_private);
		put_kernel_string(s, BPF_CORE_READ(ns, ops, name));
	} else if (magic == ANON_INODE_MAGIC) {
		put_kernel_string(s, BPF_CORE_READ(file, f_path.dentry, d_name.name));
	} else {
		put_path(s, &file->f_path, ROOT_TASK);
	}
}

// socket_of returns the socket of a file, or NULL. The file of a socket's path
// that was opened with O_PATH has none.
static __always_inline struct sock *socket_of(struct file *file, struct inode *inode)
{
	struct socket *socket;

	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

SEC("iter/task_file")
int descriptors(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct inode *inode;
	struct scratch *s;
	struct sock *sk;

	if (!task || !file)
		return 0;
	s = start_record(RECORD_FD, FD_PARAMS, BPF_CORE_READ(task, pid));
	if (!s)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	sk = socket_of(file, inode);
	put_fd_numbers(s, task, ctx->fd, file, inode);
	put_fd_name(s, file, inode, sk);
	if (sk)
		put_socket(s, sk);
	else
		put_empty(s);
	emit(ctx->meta, s);
	return 0;
}
